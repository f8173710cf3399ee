package segment

import "encoding/binary"

// OldVersion is the version of old-generation files that this package writes; it reads every version up to it.
const OldVersion = 1

// Layout of the header of an old-generation file behind its prelude.
const (
	oldFirst   = 48 // u64
	oldLast    = 56 // u64
	oldCreated = 64 // i64 ms
	oldFields  = 72
)

// oldHeader is what is special about the header of an old-generation file; constant after start.
var oldHeader = headerKind{magic: "MILLROLD", version: OldVersion, required: OldFeatures | FeatureContinues, end: oldFields}

// OldHeader is what the first page of an old-generation file says.
type OldHeader struct {
	Version  uint32
	Shard    uint32
	Required uint64 // feature bits that a reader must know
	Optional uint64 // feature bits that a reader may ignore
	Epoch    uint64 // high half: that of the last segment replaced; low half: random
	First    LSN    // the file stands for all records First to Last
	Last     LSN
	Created  int64 // ms
}

// AppendOldHeader appends the page that says h; the version is always OldVersion.
func AppendOldHeader(dst []byte, h OldHeader) []byte {
	dst, page := oldHeader.begin(dst, prelude{shard: h.Shard, required: h.Required, optional: h.Optional, epoch: h.Epoch})
	binary.LittleEndian.PutUint64(page[oldFirst:], uint64(h.First))
	binary.LittleEndian.PutUint64(page[oldLast:], uint64(h.Last))
	binary.LittleEndian.PutUint64(page[oldCreated:], uint64(h.Created))
	sealHeader(page)
	return dst
}

// ParseOldHeader reads the first page of an old-generation file. Its errors are those of ParseHeader.
func ParseOldHeader(page []byte) (OldHeader, error) {
	p, err := oldHeader.parse(page)
	if err != nil {
		return OldHeader{}, err
	}
	h := OldHeader{
		Version: p.version, Shard: p.shard, Required: p.required, Optional: p.optional, Epoch: p.epoch,
		First:   LSN(binary.LittleEndian.Uint64(page[oldFirst:])),
		Last:    LSN(binary.LittleEndian.Uint64(page[oldLast:])),
		Created: int64(binary.LittleEndian.Uint64(page[oldCreated:])),
	}
	if h.First == 0 || h.Last < h.First {
		return OldHeader{}, errImpossibleHeader
	}
	return h, nil
}
