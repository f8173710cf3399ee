package segment

import "encoding/binary"

// Version is the format version this package writes; it reads every version up to it.
const Version = 1

// Layout of the segment header behind its prelude.
const (
	headerBase     = 48 // u64
	headerCreated  = 56 // i64 ms
	headerFileSize = 64 // u64
)

// FeatureOld is the required feature bit of a segment that may have old-generation files beside it. A reader
// that does not know them would take what they stand for as lost.
const FeatureOld uint64 = 1 << 0

// FeatureTakers is the required feature bit of a file whose settles may name consumers and successors or tell of
// returns, and that may have records of the kinds KindConsumer and KindStart. A reader that does not know it would
// take what came back for gone.
const FeatureTakers uint64 = 1 << 1

// FeatureContinues is the required feature bit of a file, of either kind, that does not begin with a catalogue though
// the log has them: a file before it does, and must not go before this one. A writer that does not know that would
// let it go.
const FeatureContinues uint64 = 1 << 2

// The required feature bits that this build sets in every file: of a segment, and of an old-generation file. Beside
// them it understands FeatureContinues.
const (
	SegmentFeatures = FeatureOld | FeatureTakers
	OldFeatures     = FeatureTakers
)

// segmentHeader is what is special about a segment's header; constant after start.
var segmentHeader = headerKind{magic: "MILLRACE", version: Version, required: SegmentFeatures | FeatureContinues, end: headerFileSize + 8}

// Header is what the first page of a segment says.
type Header struct {
	Version  uint32
	Shard    uint32
	Required uint64 // feature bits that a reader must know
	Optional uint64 // feature bits that a reader may ignore
	Epoch    uint64 // unique per use of a file, increasing per shard
	Base     LSN    // number of the first record
	Created  int64  // ms
	FileSize int64  // size of the file when it was taken into use
}

// AppendHeader appends the page that says h; the version is always Version.
func AppendHeader(dst []byte, h Header) []byte {
	dst, page := segmentHeader.begin(dst, prelude{shard: h.Shard, required: h.Required, optional: h.Optional, epoch: h.Epoch})
	binary.LittleEndian.PutUint64(page[headerBase:], uint64(h.Base))
	binary.LittleEndian.PutUint64(page[headerCreated:], uint64(h.Created))
	binary.LittleEndian.PutUint64(page[headerFileSize:], uint64(h.FileSize))
	sealHeader(page)
	return dst
}

// ParseHeader reads the first page of a segment. Errors match ErrFormat (no segment), ErrCorrupt
// (damaged), ErrVersion or ErrFeature (sound, but this build is too old for it).
func ParseHeader(page []byte) (Header, error) {
	p, err := segmentHeader.parse(page)
	if err != nil {
		return Header{}, err
	}
	h := Header{
		Version: p.version, Shard: p.shard, Required: p.required, Optional: p.optional, Epoch: p.epoch,
		Base:     LSN(binary.LittleEndian.Uint64(page[headerBase:])),
		Created:  int64(binary.LittleEndian.Uint64(page[headerCreated:])),
		FileSize: int64(binary.LittleEndian.Uint64(page[headerFileSize:])),
	}
	if h.Base == 0 {
		return Header{}, errImpossibleHeader
	}
	return h, nil
}
