package main

import "fmt"

// part is one run of `go test`, with all its arguments.
type part struct {
	name string
	args []string
}

// parts are all of them. From fifty rounds on it is the long form: damage of single files is tried several times, for
// some of it is by chance, and what is used after its release is looked for with the race detector too.
func parts(rounds int) []part {
	long := rounds >= 50
	again, race := 1, []string{}
	if long {
		again, race = 5, []string{"-race"}
	}
	test := func(name, pattern string, count int, packages []string, flags ...string) part {
		args := []string{"test", "-v", "-timeout", "60m", "-count", fmt.Sprint(count), "-run", pattern}
		args = append(args, packages...)
		if len(flags) > 0 {
			args = append(append(args, "-args"), flags...)
		}
		return part{name, args}
	}
	const broker, session, black = "./server/internal/broker", "./server/internal/session", "./cmd/millrace"
	n := func(flag string, n int) string { return fmt.Sprintf("-%s=%d", flag, n) }
	return []part{
		test("kill -9", "Crash", 1, []string{black}, n("crash.rounds", rounds)),
		test("power cuts", "PowerCuts", 1, []string{broker}, n("power.cuts", 10*rounds)),
		test("power cuts of log and index", "PowerCut|CrashAt|CrashBetween", again, []string{"./wal", "./index", broker}),
		test("torn tails", "Torn", again, []string{"./segment", "./wal"}),
		test("flipped bytes", "FlippedBytes", 1, []string{black}, n("flip.rounds", rounds)),
		test("damaged files", "Damage|Flipped|Corrupt|Contradictions", again, []string{"./segment", "./wal", "./index", broker, black}),
		test("cut and removed files", "FileCutShort|FileRemoved|BroughtIn|CannotBeRead|UnreadableFile|CannotBeSent", again, []string{"./wal", black, session}),
		test("full disk", "FullDisk", again, []string{"./wal", "./index", broker, session, black}),
		test("I/O errors", "FailedWrite|FailedSync|FailedCommit|DiskThatFails|LogHasStopped|InTheUse", again, []string{"./wal", "./index", broker, black}),
		test("relocation", "Relocat|Victims|OldFile", again, []string{"./wal", broker}),
		{"use after release", append(append([]string{"test", "-v", "-tags", "leases", "-count", "1", "-timeout", "60m"}, race...), "./wal", broker, session)},
	}
}
