package access

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// Pattern is a regular expression as RabbitMQ takes it: it matches if any part of a name does, unless it
// says ^ or $. Matching takes time in proportion to the name, whatever the pattern.
//
// RabbitMQ's expressions are Perl's, ours are Go's: no back references, and looking ahead only at the
// start, which is what people need to say "all but": ^(?!amq\.).*
type Pattern struct {
	source string
	every  bool // matches everything, for sure
	expr   *regexp.Regexp
	ahead  []lookahead
}

// lookahead is a condition on the start of the name.
type lookahead struct {
	expr *regexp.Regexp
	want bool
}

// Compile makes a Pattern.
func Compile(source string) (*Pattern, error) {
	p := &Pattern{source: source, every: source == "" || source == ".*" || source == "^.*"}
	rest, err := p.takeLookaheads(source)
	if err != nil {
		return nil, fmt.Errorf("pattern %q: %w", source, err)
	}
	if p.expr, err = regexp.Compile(rest); err != nil {
		return nil, fmt.Errorf("pattern %q: %w", source, err)
	}
	return p, nil
}

// String returns the expression that the pattern was made of.
func (p *Pattern) String() string { return p.source }

// Match reports whether a name matches.
func (p *Pattern) Match(name string) bool {
	if p.every {
		return true
	}
	for _, a := range p.ahead {
		if a.expr.MatchString(name) != a.want {
			return false
		}
	}
	return p.expr.MatchString(name)
}

// takeLookaheads takes the conditions off that stand behind a leading ^, and returns the rest.
func (p *Pattern) takeLookaheads(source string) (string, error) {
	rest, anchored := strings.CutPrefix(source, "^")
	if !anchored || !isLookahead(rest) {
		return source, nil
	}
	for isLookahead(rest) {
		end := closing(rest)
		if end < 0 {
			return "", errors.New("missing )")
		}
		expr, err := regexp.Compile("^(?:" + rest[len("(?!"):end] + ")")
		if err != nil {
			return "", err
		}
		p.ahead = append(p.ahead, lookahead{expr, rest[2] == '='})
		rest = rest[end+1:]
	}
	// "^(?!a)b|c" means "(^(?!a)b)|c": the condition would hold for one branch only.
	if closing("("+rest+")") != len(rest)+1 || hasBranch(rest) {
		return "", errors.New("behind a lookahead, put the alternatives in parentheses")
	}
	return "^(?:" + rest + ")", nil
}

func isLookahead(expr string) bool {
	return strings.HasPrefix(expr, "(?!") || strings.HasPrefix(expr, "(?=")
}

// closing returns where the parenthesis is closed that expr begins with, or -1.
func closing(expr string) int {
	end := -1
	walk(expr, func(i, depth int) bool {
		if expr[i] == ')' && depth == 0 {
			end = i
		}
		return end < 0
	})
	return end
}

// hasBranch reports whether there is a | outside of parentheses.
func hasBranch(expr string) bool {
	found := false
	walk(expr, func(i, depth int) bool {
		found = expr[i] == '|' && depth == 0
		return !found
	})
	return found
}

// walk calls yield with each octet of an expression that is neither escaped nor in a class, and how many
// parentheses are open around it.
func walk(expr string, yield func(i, depth int) bool) {
	depth, class := 0, -1 // class is where the present one begins
	for i := 0; i < len(expr); i++ {
		switch c := expr[i]; {
		case c == '\\':
			i++
			continue
		case class >= 0:
			// A ] that comes first is one of the class.
			if first := class + 1; c == ']' && i != first && (i != first+1 || expr[first] != '^') {
				class = -1
			}
			continue
		case c == '[':
			class = i
		case c == ')':
			depth--
		}
		if !yield(i, depth) {
			return
		}
		if expr[i] == '(' {
			depth++
		}
	}
}
