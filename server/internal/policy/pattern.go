package policy

import (
	"errors"
	"regexp"
	"strings"
)

// pattern is a policy's pattern, compiled: a name must match one expression, and further ones as they want.
type pattern struct {
	main       *regexp.Regexp
	lookaheads []lookahead
}

type lookahead struct {
	expression *regexp.Regexp
	want       bool
}

func (p *pattern) matches(name string) bool {
	for _, l := range p.lookaheads {
		if l.expression.MatchString(name) != l.want {
			return false
		}
	}
	return p.main.MatchString(name)
}

// compile reads a pattern. Go has no look-ahead, but those right behind a leading ^ look at the whole name,
// as an expression of their own can.
func compile(text string) (pattern, error) {
	rest, anchored := strings.CutPrefix(text, "^")
	var p pattern
	for anchored && (strings.HasPrefix(rest, "(?!") || strings.HasPrefix(rest, "(?=")) {
		end := groupEnd(rest)
		if end < 0 {
			break // let regexp say what is wrong
		}
		expression, err := regexp.Compile("^(?:" + rest[len("(?!"):end] + ")")
		if err != nil {
			return pattern{}, err
		}
		p.lookaheads = append(p.lookaheads, lookahead{expression, rest[len("(?")] == '='})
		rest = rest[end+1:]
	}
	if p.lookaheads == nil {
		main, err := regexp.Compile(text)
		return pattern{main: main}, err
	}
	if hasAlternatives(rest) {
		return pattern{}, errors.New("error parsing regexp: a look-ahead with an alternative outside of a group behind it")
	}
	main, err := regexp.Compile("^(?:" + rest + ")")
	p.main = main
	return p, err
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
