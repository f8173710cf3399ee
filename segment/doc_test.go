package segment

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// TestDocumentedOffsetsAreTheCodes holds docs/format.md against the constants: each row must stand in
// its section as it is written here.
func TestDocumentedOffsetsAreTheCodes(t *testing.T) {
	page, err := os.ReadFile("../docs/format.md")
	if err != nil {
		t.Fatal(err)
	}
	sections := map[string]string{}
	name := ""
	for line := range strings.Lines(string(page)) {
		if strings.HasPrefix(line, "#") {
			name = strings.Trim(line, "# \n")
		}
		sections[name] += line
	}
	for _, row := range []struct {
		section string
		offset  int
		rest    string
	}{
		{"Segment header", headerVersion, "u32 | version, 1 |"},
		{"Segment header", headerLength, fmt.Sprintf("u32 | header length, %d |", HeaderSize)},
		{"Segment header", headerCRC, "u32 | header checksum"},
		{"Segment header", headerShard, "u32 | shard |"},
		{"Segment header", headerRequired, "u64 | required feature bits |"},
		{"Segment header", headerOptional, "u64 | optional feature bits |"},
		{"Segment header", headerEpoch, "u64 | epoch |"},
		{"Segment header", headerBase, "u64 | base"},
		{"Segment header", headerCreated, "i64 | time of creation |"},
		{"Segment header", headerFileSize, "u64 | file size"},
		{"Batch header", batchCRC, "u32 | batch checksum |"},
		{"Batch header", batchLength, "u32 | batch length"},
		{"Batch header", batchCount, "u32 | count of records"},
		{"Batch header", batchEpoch, "u64 | segment's epoch |"},
		{"Batch header", batchFirst, "u64 | first record's number |"},
		{"Batch header", batchTime, "i64 | time"},
		{"Batch header", batchTerm, "u64 | replication term"},
		{"Batch header", batchIndex, "u64 | replication index"},
		{"Batch header", batchSynced, "u64 | synced watermark"},
		{"Batch header", batchFlags, "u32 | batch flags"},
		{"Batch header", BatchHeaderSize, "| the records"},
		{"Record", recordLength, "u32 | record length"},
		{"Record", recordCRC, "u32 | record checksum |"},
		{"Record", recordLSN, "u64 | record number |"},
		{"Record", recordTime, "i64 | time"},
		{"Record", recordKind, "u8 | kind |"},
		{"Record", recordFlags, "u8 | record flags"},
		{"Record", recordKeys, "u16 | keys length"},
		{"Record", recordVHost, "u32 | virtual host |"},
		{"Record", RecordHeaderSize, "| payload |"},
		{"Record", int(KindPublish), "publish |"},
		{"Record", int(KindSettle), "settle |"},
		{"Record", int(KindHorizon), "horizon |"},
		{"Record", int(KindTopology), "topology |"},
		{"Record", int(KindCatalogue), "catalogue |"},
		{"Record", int(KindRouteSet), "route set |"},
		{"Record", int(KindConsumer), "consumer |"},
		{"Record", int(KindStart), "start |"},
		{"Publish", publishRoute, "u32 | route length |"},
		{"Publish", publishHeader, "u32 | content header length |"},
		{"Publish", publishFixed, "| route |"},
		{"Settle", settleQueue, "u64 | settled queue |"},
		{"Settle", settleReason, "u8 | reason"},
		{"Settle", settleRest, "| references, and ranges"},
		{"Route set", routeSetFixed, "uvarint | count of queues"},
		{"Footer", footerEpoch, "u64 | footer's epoch |"},
		{"Footer", footerFirst, "u64 | first record's number"},
		{"Footer", footerLast, "u64 | last record's number"},
		{"Footer", footerCount, "u32 | count of records"},
		{"Footer", footerSets, "u32 | count of route-set records |"},
		{"Footer", footerMin, "i64 | time of the first batch |"},
		{"Footer", footerMax, "i64 | time of the last batch |"},
		{"Footer", footerSynced, "u64 | highest synced watermark"},
		{"Footer", footerEnd, "u64 | data end"},
		{"Footer", footerFlags, "u32 | footer flags"},
		{"Footer", footerTables, "u32 | checksum of the tables"},
		{"Footer", footerHead, "u32 each | place of every record"},
		{"Trailer", trailerEpoch, "u64 | trailer's epoch |"},
		{"Trailer", trailerFooter, "u64 | footer's offset"},
		{"Trailer", trailerLength, "u64 | footer's length |"},
		{"Trailer", trailerCRC, "u32 | checksum of the footer's head |"},
		{"Trailer", trailerSelf, "u32 | checksum of the trailer"},
		{"Old header", headerVersion, "u32 | version, 1 |"},
		{"Old header", headerLength, fmt.Sprintf("u32 | header length, %d |", HeaderSize)},
		{"Old header", headerCRC, "u32 | header checksum"},
		{"Old header", headerShard, "u32 | shard |"},
		{"Old header", headerRequired, "u64 | required feature bits |"},
		{"Old header", headerOptional, "u64 | optional feature bits |"},
		{"Old header", headerEpoch, "u64 | epoch"},
		{"Old header", oldFirst, "u64 | first record's number |"},
		{"Old header", oldLast, "u64 | last record's number |"},
		{"Old header", oldCreated, "i64 | time of creation |"},
		{"Old header", oldFields, "4024 bytes | zero |"},
		{"Block", blockCRC, "u32 | block header checksum"},
		{"Block", blockEpoch, "u64 | file's epoch |"},
		{"Block", blockFirst, "u64 | number of its first record |"},
		{"Block", blockLast, "u64 | number of its last record |"},
		{"Block", blockMin, "i64 | time at which the log took its first record in |"},
		{"Block", blockMax, "i64 | time at which the log took its last record in |"},
		{"Block", blockCompressed, "u32 | compressed length |"},
		{"Block", blockRaw, "u32 | raw length |"},
		{"Block", blockRawCRC, "u32 | checksum of the raw bytes |"},
		{"Block", blockCount, "u32 | count of its records |"},
		{"Block", blockFlags, "u32 | block flags"},
		{"Block", blockUnused, "u32 | zero |"},
		{"Block", blockHeaderSize, "| one zstd frame"},
		{"Old footer", oldFooterEpoch, "u64 | file's epoch |"},
		{"Old footer", oldFooterFirst, "u64 | first record's number"},
		{"Old footer", oldFooterLast, "u64 | last record's number"},
		{"Old footer", oldFooterMin, "i64 | time of the first batch"},
		{"Old footer", oldFooterMax, "i64 | time of the last batch"},
		{"Old footer", oldFooterRaw, "u64 | raw length of all blocks |"},
		{"Old footer", oldFooterEnd, "u64 | data end"},
		{"Old footer", oldFooterBlocks, "u32 | count of blocks |"},
		{"Old footer", oldFooterRecords, "u32 | count of records |"},
		{"Old footer", oldFooterUnused, "u32 | zero |"},
		{"Old footer", footerTables, "u32 | checksum of the tables"},
		{"Old footer", footerHead, fmt.Sprintf("%d bytes each | the blocks", oldBlockSize)},
		{"Block entry", oldBlockOffset, "u64 | offset of the zstd frame |"},
		{"Block entry", oldBlockFirst, "u64 | its first record's number |"},
		{"Block entry", oldBlockMin, "i64 | time of its first record |"},
		{"Block entry", oldBlockCompressed, "u32 | compressed length |"},
		{"Block entry", oldBlockRaw, "u32 | raw length |"},
		{"Block entry", oldBlockCRC, "u32 | checksum of the raw bytes |"},
		{"Block entry", oldBlockCount, "u32 | count of its records |"},
		{"Block entry", oldBlockIndex, "u32 | count of records in the blocks before |"},
		{"Record entry", oldRecordLSN, "u32 | record's number minus"},
		{"Record entry", oldRecordTime, "u32 | ms at which"},
		{"Record entry", oldRecordPlace, "u32 | place in the raw bytes"},
	} {
		want := fmt.Sprintf("\n| %d | %s", row.offset, row.rest)
		if !strings.Contains(sections[row.section], want) {
			t.Errorf("section %q has no row %q", row.section, want[1:])
		}
	}
}
