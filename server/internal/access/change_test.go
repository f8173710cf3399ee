package access_test

import (
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/millrace-mq/millrace/server/amqp"
	"github.com/millrace-mq/millrace/server/internal/access"
)

// drawChange draws a change of few names, so that changes meet.
func drawChange(t *rapid.T) access.Change {
	name := func(label string, of ...string) string { return rapid.SampledFrom(of).Draw(t, label) }
	user := func() string { return name("user", "ann", "bob", "eve") }
	vhost := func() string { return name("vhost", "/", "a", "b") }
	exchange := func() string { return name("exchange", "", "x", "amq.topic") }
	pattern := func() string { return name("pattern", "", ".*", "^a", "{username}", "^(?!a)b") }
	tags := func() []string {
		return rapid.SliceOfN(rapid.SampledFrom([]string{"management", "own"}), 0, 2).Draw(t, "tags")
	}
	limits := func(of ...access.Limit) access.Limits {
		return rapid.MapOfN(rapid.SampledFrom(of), rapid.Int64Range(-1, 1<<40), 0, 2).Draw(t, "limits")
	}
	switch rapid.IntRange(0, 10).Draw(t, "change") {
	case 0:
		return access.DeleteVHost{Name: vhost()}
	case 1:
		return access.SetVHostLimits{VHost: vhost(), Limits: limits(access.MaxConnections, access.MaxQueues)}
	case 2:
		hashing := rapid.SampledFrom([]access.Hashing{access.SHA256, access.SHA512, access.MD5}).Draw(t, "hashing")
		hash := ""
		if rapid.Bool().Draw(t, "password") {
			hash, _ = access.HashPassword(zeros(), hashing, "secret")
		}
		return access.PutUser{User: access.User{Name: user(), PasswordHash: hash, Hashing: hashing, Tags: tags()}}
	case 3:
		return access.DeleteUser{Name: user()}
	case 4:
		return access.SetUserLimits{User: user(), Limits: limits(access.MaxConnections, access.MaxChannels)}
	case 5:
		return permit(user(), vhost(), pattern(), pattern(), pattern())
	case 6:
		return access.ClearPermission{User: user(), VHost: vhost()}
	case 7:
		return permitTopic(user(), vhost(), exchange(), pattern(), pattern())
	case 8:
		return access.ClearTopicPermission{User: user(), VHost: vhost(), Exchange: exchange()}
	case 9:
		return access.ClearTopicPermissions{User: user(), VHost: vhost()}
	}
	return access.PutVHost{VHost: access.VHost{
		Name: vhost(), ID: rapid.Uint32().Draw(t, "id"), Description: name("description", "", "text"), Tags: tags(),
		DefaultQueueType: name("type", "", "quorum"), Tracing: rapid.Bool().Draw(t, "tracing"), Protected: rapid.Bool().Draw(t, "protected"),
	}}
}

// drawLog draws changes of which each makes sense after those before it, as a log has them.
func drawLog(t *rapid.T) []access.Change {
	var log []access.Change
	state := new(access.State)
	for range rapid.IntRange(0, 40).Draw(t, "length") {
		if c := drawChange(t); valid(state, c) == nil {
			log = append(log, c)
			state = after(t, state, c)
		}
	}
	return log
}

func after(t *rapid.T, s *access.State, changes ...access.Change) *access.State {
	next, err := s.With(changes...)
	if err != nil {
		t.Fatal(err)
	}
	return next
}

// dump returns all that can be known of a state, as octets that can be compared.
func dump(s *access.State) string {
	var b strings.Builder
	for c := range s.Changes() {
		b.Write(access.Encode(c).Raw())
		b.WriteByte('\n')
	}
	return b.String()
}

func TestChangesSurviveTheLog(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := drawChange(t)
		raw := access.Encode(c).Raw()
		table, err := raw.Decode()
		if err != nil {
			t.Fatal(err)
		}
		if !access.Owns(table["op"].(string)) {
			t.Fatalf("%s is nobody's", table["op"])
		}
		back, err := access.Decode(table)
		if err != nil {
			t.Fatal(err)
		}
		if again := access.Encode(back).Raw(); string(again) != string(raw) || reflect.TypeOf(back) != reflect.TypeOf(c) {
			t.Fatalf("%+v came back as %+v", c, back)
		}
	})
}

func TestSnapshotRebuildsTheState(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		state := after(t, new(access.State), drawLog(t)...)
		rebuilt := new(access.State)
		for c := range state.Changes() {
			if err := valid(rebuilt, c); err != nil {
				t.Fatal(err)
			}
			rebuilt = after(t, rebuilt, c)
		}
		if dump(rebuilt) != dump(state) {
			t.Fatalf("got\n%q\nwant\n%q", dump(rebuilt), dump(state))
		}
	})
}

func TestReplayingWhatIsKnownChangesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		log := drawLog(t)
		state := after(t, new(access.State), log...)
		from := rapid.IntRange(0, len(log)).Draw(t, "from")
		if replayed := after(t, state, log[from:]...); dump(replayed) != dump(state) {
			t.Fatalf("from %d of %+v\ngot\n%q\nwant\n%q", from, log, dump(replayed), dump(state))
		}
	})
}

func TestManyChangesAtOnceAreLikeOneByOne(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		log := rapid.SliceOf(rapid.Custom(drawChange)).Draw(t, "log")
		state := new(access.State)
		for _, c := range log {
			before := dump(state)
			next := after(t, state, c)
			if dump(state) != before {
				t.Fatalf("%+v changed the state before it", c)
			}
			state = next
		}
		if got := after(t, new(access.State), log...); dump(got) != dump(state) {
			t.Fatalf("got\n%q\nwant\n%q", dump(got), dump(state))
		}
	})
}

func TestListsAndLookUpsAgree(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := after(t, new(access.State), drawLog(t)...)
		for u := range s.Users() {
			if found, ok := s.User(u.Name); !ok || !reflect.DeepEqual(found, u) {
				t.Fatalf("%+v is found as %+v", u, found)
			}
		}
		for v := range s.VHosts() {
			if found, ok := s.VHost(v.Name); !ok || !reflect.DeepEqual(found, v) {
				t.Fatalf("%+v is found as %+v", v, found)
			}
		}
		for p := range s.Permissions() {
			if found, ok := s.Permission(p.User, p.VHost); !ok || found != p || !s.MayEnter(p.User, p.VHost) {
				t.Fatalf("%+v is found as %+v", p, found)
			}
			if _, ok := s.User(p.User); !ok {
				t.Fatalf("%+v is of nobody", p)
			}
			if _, ok := s.VHost(p.VHost); !ok {
				t.Fatalf("%+v is nowhere", p)
			}
		}
		for p := range s.TopicPermissions() {
			if _, ok := s.VHost(p.VHost); !ok {
				t.Fatalf("%+v is nowhere", p)
			}
		}
	})
}

func TestChangesOfWhatDoesNotExistMakeNoSense(t *testing.T) {
	state := build(t, vhost("/"), user("ann")).State()
	tests := []struct {
		change access.Change
		want   error
	}{
		{access.DeleteVHost{Name: "nope"}, access.ErrNoVHost},
		{access.SetVHostLimits{VHost: "nope"}, access.ErrNoVHost},
		{access.DeleteUser{Name: "nobody"}, access.ErrNoUser},
		{access.SetUserLimits{User: "nobody"}, access.ErrNoUser},
		{permit("ann", "nope", "", "", ""), access.ErrNoVHost},
		{permit("nobody", "/", "", "", ""), access.ErrNoUser},
		{access.ClearPermission{User: "nobody", VHost: "/"}, access.ErrNoUser},
		{access.ClearPermission{User: "ann", VHost: "nope"}, access.ErrNoVHost},
		{permitTopic("nobody", "/", "x", "", ""), access.ErrNoUser},
		{permitTopic("ann", "nope", "x", "", ""), access.ErrNoVHost},
		{access.ClearTopicPermission{User: "ann", VHost: "nope", Exchange: "x"}, access.ErrNoVHost},
		{access.ClearTopicPermissions{User: "nobody", VHost: "/"}, access.ErrNoUser},
		{access.ClearPermission{User: "ann", VHost: "/"}, nil}, // there is nothing to clear, and nothing wrong
		{access.ClearTopicPermission{User: "ann", VHost: "/", Exchange: "x"}, nil},
	}
	for _, test := range tests {
		if err := valid(state, test.change); !errors.Is(err, test.want) || (err == nil) != (test.want == nil) {
			t.Errorf("%+v: got %v, want %v", test.change, err, test.want)
		}
		next, err := state.With(test.change) // as a replay does
		if err != nil || dump(next) != dump(state) {
			t.Errorf("%+v: got %v, and a state of %q", test.change, err, dump(next))
		}
	}
}

func TestMalformedChangesAreRefusedAllTogether(t *testing.T) {
	state := build(t, vhost("/"), user("ann")).State()
	for _, bad := range []access.Change{
		access.PutVHost{},
		vhost("\xff"),
		vhost(strings.Repeat("v", 256)),
		user(""),
		permit("ann", "/", "(", "", ""),
		permit("ann", "/", "", "(", ""),
		permit("ann", "/", "", "", "("),
		permitTopic("ann", "/", "x", "(", ""),
		permitTopic("ann", "/", "x", "", "("),
		access.SetUserLimits{User: "ann", Limits: access.Limits{"foo": 1}},
		access.SetVHostLimits{VHost: "/", Limits: access.Limits{"foo": 1}},
	} {
		control := access.New(access.Config{})
		generation := control.Generation()
		if err := control.Apply(vhost("/"), user("bob"), bad); err == nil {
			t.Errorf("%+v was applied", bad)
		}
		if _, ok := control.State().User("bob"); ok || control.Generation() != generation {
			t.Errorf("something was applied beside %+v", bad)
		}
		if err := valid(state, bad); err == nil || errors.Is(err, access.ErrNoUser) || errors.Is(err, access.ErrNoVHost) {
			t.Errorf("%+v: got %v", bad, err)
		}
	}
}

func TestStatesShareNothingWithTheirReaders(t *testing.T) {
	tags, limits := []string{"management"}, access.Limits{access.MaxConnections: 1}
	state := build(t,
		access.PutVHost{VHost: access.VHost{Name: "/", Tags: tags}}, access.SetVHostLimits{VHost: "/", Limits: limits},
		user("ann", tags...), access.SetUserLimits{User: "ann", Limits: limits}).State()
	if _, ok := state.VHost("nope"); ok || state.VHostLimits("nope") != nil || state.UserLimits("nobody") != nil {
		t.Error("something is known of what does not exist")
	}
	before := dump(state)
	tags[0] = "administrator"
	limits[access.MaxConnections] = 99
	u, _ := state.User("ann")
	v, _ := state.VHost("/")
	u.Tags[0], v.Tags[0] = "administrator", "administrator"
	state.UserLimits("ann")[access.MaxConnections] = 99
	state.VHostLimits("/")[access.MaxConnections] = 99
	for u := range state.Users() {
		u.Tags[0] = "administrator"
	}
	if dump(state) != before {
		t.Errorf("got %q, want %q", dump(state), before)
	}
}

func TestIterationsEndWhenTheReaderHasEnough(t *testing.T) {
	state := build(t, vhost("/"), user("ann"), permit("ann", "/", "", "", ""), permitTopic("ann", "/", "x", "", ""),
		access.SetUserLimits{User: "ann", Limits: access.Limits{access.MaxChannels: 1}},
		access.SetVHostLimits{VHost: "/", Limits: access.Limits{access.MaxQueues: 1}}).State()
	all := slices.Collect(state.Changes())
	if len(all) != 6 {
		t.Fatalf("got %d changes", len(all))
	}
	for n := range all {
		var got []access.Change
		for c := range state.Changes() {
			if got = append(got, c); len(got) == n+1 {
				break
			}
		}
		if !reflect.DeepEqual(got, all[:n+1]) {
			t.Errorf("got %v", got)
		}
	}
}

func TestTheFirstRecordsOfVirtualHostsAreStillRead(t *testing.T) {
	got, err := access.Decode(amqp.Table{"op": "vhost.create", "vhost": int64(7), "name": "v"})
	if want := (access.PutVHost{VHost: access.VHost{Name: "v", ID: 7}}); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestRecordsThatCannotBeUnderstood(t *testing.T) {
	for _, test := range []struct {
		table amqp.Table
		want  string
	}{
		{amqp.Table{}, `access record: field "op" is missing or of a wrong type`},
		{amqp.Table{"op": "user.marry"}, `access record: unknown operation "user.marry"; a newer millrace wrote it`},
		{amqp.Table{"op": "user.delete"}, `access record: field "name" is missing or of a wrong type`},
		{amqp.Table{"op": "user.delete", "name": int64(1)}, `access record: field "name" is missing or of a wrong type`},
		{amqp.Table{"op": "vhost.create", "name": "v", "vhost": int64(-1)}, `access record: field "vhost" is missing or of a wrong type`},
		{amqp.Table{"op": "vhost.create", "name": "v", "vhost": int64(1 << 32)}, `access record: field "vhost" is missing or of a wrong type`},
		{amqp.Table{"op": "vhost.create", "name": "v", "vhost": int64(1), "tracing": "yes"}, `access record: field "tracing" is missing or of a wrong type`},
		{amqp.Table{"op": "vhost.create", "name": "v", "vhost": int64(1), "tags": "a"}, `access record: field "tags" is missing or of a wrong type`},
		{amqp.Table{"op": "vhost.create", "name": "v", "vhost": int64(1), "tags": []any{nil}}, `access record: field "tags" is missing or of a wrong type`},
		{amqp.Table{"op": "vhost.create", "name": "v", "vhost": int64(1), "description": true}, `access record: field "description" is missing or of a wrong type`},
		{amqp.Table{"op": "user_limits.set", "user": "u"}, `access record: field "limits" is missing or of a wrong type`},
		{amqp.Table{"op": "user_limits.set", "user": "u", "limits": amqp.Table{"max-channels": "1"}}, `access record: field "limits" is missing or of a wrong type`},
	} {
		if _, err := access.Decode(test.table); err == nil || err.Error() != test.want {
			t.Errorf("%v: got %v, want %s", test.table, err, test.want)
		}
	}
	if access.Owns("queue.declare") {
		t.Error("queues are not of this package")
	}
}

func FuzzDecode(f *testing.F) {
	state := new(access.State)
	for _, c := range []access.Change{
		vhost("/"), user("ann", "management"), permit("ann", "/", "", ".*", "^a"), permitTopic("ann", "/", "x", "", ""),
		access.SetUserLimits{User: "ann", Limits: access.Limits{access.MaxChannels: 1}},
		access.SetVHostLimits{VHost: "/", Limits: access.Limits{access.MaxQueues: -1}},
		access.ClearTopicPermission{User: "ann", VHost: "/", Exchange: "x"},
		access.ClearTopicPermissions{User: "ann", VHost: "/"},
		access.ClearPermission{User: "ann", VHost: "/"},
		access.DeleteUser{Name: "ann"},
		access.DeleteVHost{Name: "/"},
	} {
		f.Add([]byte(access.Encode(c).Raw()))
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		table, err := amqp.RawTable(payload).Decode()
		if err != nil {
			return
		}
		c, err := access.Decode(table)
		if err != nil {
			return
		}
		again, err := access.Decode(access.Encode(c))
		if err != nil || string(access.Encode(again).Raw()) != string(access.Encode(c).Raw()) {
			t.Errorf("%+v came back as %+v, %v", c, again, err)
		}
		state.With(c) // whatever it is, it does no harm
	})
}
