package access_test

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/millrace-mq/millrace/server/amqp"
	"github.com/millrace-mq/millrace/server/internal/access"
)

func TestPasswordHashesHaveRabbitMQsForm(t *testing.T) { // AUTH-07
	tests := []struct {
		hashing access.Hashing
		want    string
	}{
		// The example of RabbitMQ's documentation: salt 908D C60A, password test12.
		{access.SHA256, "kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR"},
		{access.SHA512, "kI3GChuNuIYf8lRbCCxZjgjKwsY19ns6+uFO0zcXRBGA/XGJPYD8OWMy7EB8TaOmAzjP2azv84GbINYwX2cDWb4DHnc="},
		{access.MD5, "kI3GChNpte2FApYFXScl+0dIluk="},
	}
	for _, test := range tests {
		hash, err := access.HashPassword(bytes.NewReader([]byte{0x90, 0x8d, 0xc6, 0x0a}), test.hashing, "test12")
		if err != nil {
			t.Fatal(err)
		}
		if hash != test.want {
			t.Errorf("%s: got %s, want %s", test.hashing, hash, test.want)
		}
		u := access.User{PasswordHash: hash, Hashing: test.hashing}
		if !u.Verify("test12") || u.Verify("test13") || u.Verify("") {
			t.Errorf("%s: another password is right", test.hashing)
		}
	}
	hash, err := access.HashPassword(zeros(), "", "test12")
	if err != nil || !(access.User{PasswordHash: hash}).Verify("test12") || !(access.User{PasswordHash: hash, Hashing: access.SHA256}).Verify("test12") {
		t.Errorf("no algorithm is not SHA-256: %v", err)
	}
}

func TestPasswordsVerify(t *testing.T) { // AUTH-07
	rapid.Check(t, func(t *rapid.T) {
		hashing := rapid.SampledFrom([]access.Hashing{access.SHA256, access.SHA512, access.MD5, ""}).Draw(t, "hashing")
		password, other := rapid.String().Draw(t, "password"), rapid.String().Draw(t, "other")
		hash, err := access.HashPassword(rand.Reader, hashing, password)
		if err != nil {
			t.Fatal(err)
		}
		u := access.User{PasswordHash: hash, Hashing: hashing}
		if !u.Verify(password) || u.Verify(other) != (other == password) {
			t.Fatalf("%q and %q", password, other)
		}
	})
}

func TestPasswordsAreNotHashedWithoutSalt(t *testing.T) {
	if _, err := access.HashPassword(strings.NewReader("abc"), access.SHA256, "p"); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("got %v", err)
	}
	if _, err := access.HashPassword(zeros(), "rot13", "p"); err == nil {
		t.Error("an unknown algorithm was used")
	}
}

func TestUsersWithImpossibleHashesAreRefused(t *testing.T) { // AUTH-07
	hash := base64.StdEncoding.EncodeToString(make([]byte, 36))
	tests := []struct {
		user access.User
		want string
	}{
		{access.User{Name: "u", PasswordHash: hash, Hashing: access.SHA256}, ""},
		{access.User{Name: "u", PasswordHash: hash}, ""},
		{access.User{Name: "u"}, ""},
		{access.User{Name: "u", PasswordHash: hash, Hashing: access.MD5}, `user.put: user "u": the password hash has 36 octets, one by rabbit_password_hashing_md5 has 20`},
		{access.User{Name: "u", PasswordHash: hash, Hashing: access.SHA512}, `user.put: user "u": the password hash has 36 octets, one by rabbit_password_hashing_sha512 has 68`},
		{access.User{Name: "u", PasswordHash: "**"}, `user.put: user "u": the password hash is not base64`},
		{access.User{Name: "u", Hashing: "rot13"}, `user.put: user "u": unknown hashing algorithm "rot13"; known are rabbit_password_hashing_sha256, rabbit_password_hashing_sha512 and rabbit_password_hashing_md5`},
		{access.User{}, `user.put: the user has no name`},
		{access.User{Name: "\xff"}, `user.put: user name "\xff" is not UTF-8`},
	}
	for _, test := range tests {
		err := valid(new(access.State), access.PutUser{User: test.user})
		if test.want == "" && err != nil || test.want != "" && (err == nil || err.Error() != test.want) {
			t.Errorf("%+v: got %v, want %s", test.user, err, test.want)
		}
	}
}

func TestLogins(t *testing.T) { // CONN-06, AUTH-06, AUTH-07
	first, err := access.DefaultFirstStart().Changes(zeros())
	if err != nil {
		t.Fatal(err)
	}
	blank, err := access.HashPassword(zeros(), access.SHA256, "")
	if err != nil {
		t.Fatal(err)
	}
	control := build(t, append(first, user("nopass"), access.PutUser{User: access.User{Name: "blank", PasswordHash: blank}})...)
	const near, far = true, false
	tests := []struct {
		name     string
		with     access.Credentials
		loopback bool
		want     error
	}{
		{"default user", access.Credentials{Name: "guest", Password: "guest"}, near, nil},
		{"default user from afar", access.Credentials{Name: "guest", Password: "guest"}, far, access.ErrLoopbackOnly},
		{"default user from afar, wrong password", access.Credentials{Name: "guest", Password: "guess"}, far, access.ErrWrongPassword},
		{"wrong password", access.Credentials{Name: "guest", Password: "Guest"}, near, access.ErrWrongPassword},
		{"blank password", access.Credentials{Name: "guest"}, near, access.ErrBlankPassword},
		{"blank password that is right", access.Credentials{Name: "blank"}, near, access.ErrBlankPassword},
		{"no such user", access.Credentials{Name: "sue", Password: "guest"}, near, access.ErrNoUser},
		{"nobody", access.Credentials{}, near, access.ErrBlankPassword},
		{"password disabled", access.Credentials{Name: "nopass", Password: "x"}, far, access.ErrNoPassword},
		{"certificate", access.Credentials{Name: "nopass", Vouched: true}, far, nil},
		{"certificate of nobody", access.Credentials{Name: "sue", Vouched: true}, far, access.ErrNoUser},
		{"certificate from afar", access.Credentials{Name: "guest", Vouched: true}, far, access.ErrLoopbackOnly},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := control.Authenticate(test.with, test.loopback)
			if !errors.Is(err, test.want) || (err == nil) != (got.Name == test.with.Name) && test.with.Name != "" {
				t.Errorf("got %v, %v; want %v", got, err, test.want)
			}
			if err != nil && test.with.Password != "" && strings.Contains(err.Error(), `"`+test.with.Password+`"`) && test.with.Password != test.with.Name {
				t.Errorf("%v tells the password", err)
			}
		})
	}
	wantRefusal(t, access.LoginRefused("PLAIN"), amqp.AccessRefused, 0,
		"Login was refused using authentication mechanism PLAIN. For details see the broker logfile.")
}

func TestLoopbackUsersAreConfigured(t *testing.T) { // AUTH-06
	control := access.New(access.Config{})
	first, err := access.DefaultFirstStart().Changes(zeros())
	if err != nil {
		t.Fatal(err)
	}
	apply(t, control, first...)
	if _, err := control.Authenticate(access.Credentials{Name: "guest", Password: "guest"}, false); err != nil {
		t.Errorf("nobody is restricted, but: %v", err)
	}
	if users := build(t).LoopbackUsers(); !slices.Equal(users, []string{"guest"}) {
		t.Errorf("got %q", users)
	}
}

func TestFirstStartIsThatOfRabbitMQ(t *testing.T) { // AUTH-06
	first, err := access.DefaultFirstStart().Changes(zeros())
	if err != nil {
		t.Fatal(err)
	}
	state := build(t, first...).State()
	guest, _ := state.User("guest")
	if !guest.MayAdminister() || !guest.MayMonitor() || !guest.MaySetPolicies() || !guest.MayManage() || guest.MayImpersonate() {
		t.Errorf("guest has tags %q", guest.Tags)
	}
	if p, _ := state.Permission("guest", "/"); p != permit("guest", "/", ".*", ".*", ".*").Permission {
		t.Errorf("guest has %+v", p)
	}
	if v, ok := state.VHost("/"); !ok || v.ID != 1 {
		t.Errorf("got %+v", v)
	}
	wantRefusal(t, state.CheckConnection(access.Subject{User: "guest", VHost: "/"}, access.Connections{}, access.NodeLimits{}), 0, 0, "")
	if _, err := access.DefaultFirstStart().Changes(strings.NewReader("")); err == nil {
		t.Error("the password was hashed without salt")
	}
}

func TestTags(t *testing.T) { // AUTH-05
	if got := access.ParseTags(" management, own ,,administrator"); !slices.Equal(got, []string{"management", "own", "administrator"}) {
		t.Errorf("got %q", got)
	}
	if got := access.ParseTags(""); got != nil {
		t.Errorf("got %q", got)
	}
	type rights struct{ manage, monitor, policies, administer, impersonate bool }
	for tag, want := range map[string]rights{
		"administrator": {true, true, true, true, false},
		"monitoring":    {manage: true, monitor: true},
		"policymaker":   {manage: true, policies: true},
		"management":    {manage: true},
		"impersonator":  {impersonate: true},
		"own":           {},
	} {
		u := access.User{Tags: []string{"x", tag}}
		got := rights{u.MayManage(), u.MayMonitor(), u.MaySetPolicies(), u.MayAdminister(), u.MayImpersonate()}
		if got != want || !u.Has(tag) {
			t.Errorf("%s: got %+v, want %+v", tag, got, want)
		}
	}
}
