// Package suite runs named scenarios on several brokers in turns and compares them.
//
// A [Suite] is a list of cases: a workload each, and what is varied in it. [Run] takes each case to each
// broker before it takes the next one, and that as many times as there are rounds: whatever else the
// machine does meets all brokers alike. A broker that is started here is started anew for each case. Of
// the rounds, medians count.
//
// [Report] words and draws the outcome: markdown, JSON and charts.
//
//	outcome, err := suite.Run(ctx, suite.Config{Suite: suite.Compare(), Contenders: brokers, Rounds: 3})
//	err = suite.Report{Outcome: outcome}.Write("out")
//
// It starts no goroutines; those of the measurements are package load's.
package suite
