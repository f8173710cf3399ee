package pattern

import (
	"errors"
	"regexp"
	"strings"
)

// Pattern is an expression that names match. It never changes.
type Pattern struct {
	source     string
	every      bool // matches everything, for sure
	main       *regexp.Regexp
	lookaheads []lookahead
}

// lookahead is a condition on the start of the name.
type lookahead struct {
	expression *regexp.Regexp
	want       bool
}

// Compile makes a Pattern. Errors are regexp's, or in its style.
func Compile(source string) (*Pattern, error) {
	p := &Pattern{source: source, every: source == "" || source == ".*" || source == "^.*"}
	rest, err := p.takeLookaheads(source)
	if err != nil {
		return nil, err
	}
	p.main, err = regexp.Compile(rest)
	return p, err
}

// String returns the expression that the pattern was made of.
func (p *Pattern) String() string { return p.source }

// Match reports whether a name matches.
func (p *Pattern) Match(name string) bool {
	if p.every {
		return true
	}
	for _, l := range p.lookaheads {
		if l.expression.MatchString(name) != l.want {
			return false
		}
	}
	return p.main.MatchString(name)
}

// takeLookaheads takes those off that stand behind a leading ^, and returns the rest. Each looks at the whole
// name, as an expression of its own can.
func (p *Pattern) takeLookaheads(source string) (rest string, err error) {
	rest, anchored := strings.CutPrefix(source, "^")
	for anchored && (strings.HasPrefix(rest, "(?!") || strings.HasPrefix(rest, "(?=")) {
		end := groupEnd(rest)
		if end < 0 {
			break // let regexp say what is wrong
		}
		expression, err := regexp.Compile("^(?:" + rest[len("(?!"):end] + ")")
		if err != nil {
			return "", err
		}
		p.lookaheads = append(p.lookaheads, lookahead{expression, rest[len("(?")] == '='})
		rest = rest[end+1:]
	}
	switch {
	case p.lookaheads == nil:
		return source, nil
	case hasAlternatives(rest):
		// "^(?!a)b|c" means "(^(?!a)b)|c": the condition would hold for one branch only.
		return "", errors.New("error parsing regexp: a look-ahead with an alternative outside of a group behind it")
	}
	if _, err := regexp.Compile(rest); err != nil { // what is wrong by itself must not fit into the group
		return "", err
	}
	return "^(?:" + rest + ")", nil
}

// groupEnd returns where the group ends that text begins with, or -1.
func groupEnd(text string) int {
	depth := 0
	for i, c := range syntax(text) {
		switch c {
		case '(':
			depth++
		case ')':
			if depth--; depth == 0 {
				return i
			}
		}
	}
	return -1
}

func hasAlternatives(text string) bool {
	depth := 0
	for _, c := range syntax(text) {
		switch c {
		case '(':
			depth++
		case ')':
			depth--
		case '|':
			if depth == 0 {
				return true
			}
		}
	}
	return false
}

// syntax yields the parentheses and bars of an expression that mean something: those neither escaped nor in
// a class of characters.
func syntax(text string) func(yield func(int, byte) bool) {
	return func(yield func(int, byte) bool) {
		for i := 0; i < len(text); i++ {
			switch c := text[i]; c {
			case '\\':
				if strings.HasPrefix(text[i:], `\Q`) {
					length := strings.Index(text[i:], `\E`)
					if length < 0 {
						return
					}
					i += length
				}
				i++
			case '[':
				i += classLength(text[i:]) - 1
			case '(', ')', '|':
				if !yield(i, c) {
					return
				}
			}
		}
	}
}

// classLength returns how long the class of characters is that text begins with.
func classLength(text string) int {
	i := len("[")
	if strings.HasPrefix(text[i:], "^") {
		i++
	}
	if strings.HasPrefix(text[i:], "]") { // a literal one
		i++
	}
	for ; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case '[':
			if strings.HasPrefix(text[i:], "[:") {
				if end := strings.Index(text[i:], ":]"); end > 0 {
					i += end + 1
				}
			}
		case ']':
			return i + 1
		}
	}
	return len(text)
}
