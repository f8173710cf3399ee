package main

// Main is main, for transcripts: the tests' binary is millrace when it is called so.
func Main() { main() }
