package router

// HashOf and Mix let the oracle of the hash exchanges start from the same numbers.
var (
	HashOf = hashOf
	Mix    = mix
)

// HashValue is what the index of a headers exchange goes by.
var HashValue = hashValue

// CompareIdentity orders bindings of one exchange as listings do.
func CompareIdentity(a, b Binding) int { return a.identity().compare(b.identity()) }
