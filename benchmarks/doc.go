// Package benchmarks answers how fast a broker is: it holds the load generator behind 'millrace bench'.
package benchmarks
