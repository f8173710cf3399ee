// Package tools answers what is in a log: it holds the bodies of the command line's subcommands that work on a
// data folder. Each file has a command and what only that needs; LogCommand joins those of 'millrace log'. How a
// command is made is told by package command.
//
// Those that look into a log read it alone, without a lock: beside a running broker, and whether the index is there or not.
// They change nothing. A past is what they read: records, and what existed and what it was called at each.
//
// What takes care of a data folder asks the broker that runs on it
// (package control), or, where none may run, has it done by the server, which the command line hands in as Offline.
//
// Messages are carried elsewhere from a source (a log, an archive, a queue of a running broker) to an archive or, by a
// delivery, to a broker; packages archive and republish do the work.
package tools
