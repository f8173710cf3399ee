package access_test

import (
	"strings"
	"testing"

	"github.com/millrace-mq/millrace/server/amqp"
	"github.com/millrace-mq/millrace/server/internal/access"
)

func TestOfferedMechanisms(t *testing.T) { // CONN-01
	external := access.SASL{Mechanisms: []access.Mechanism{access.External, access.AMQPlain, access.Plain}}
	tests := []struct {
		sasl     access.SASL
		listener access.Listener
		want     string
	}{
		{access.SASL{}, access.ListenerTCP, "PLAIN AMQPLAIN"},
		{access.SASL{}, access.ListenerTLSClients, "PLAIN AMQPLAIN"},
		{external, access.ListenerTCP, "AMQPLAIN PLAIN"},
		{external, access.ListenerTLS, "AMQPLAIN PLAIN"},
		{external, access.ListenerTLSClients, "EXTERNAL AMQPLAIN PLAIN"},
	}
	for _, test := range tests {
		if got := test.sasl.OfferedText(test.listener); got != test.want {
			t.Errorf("got %q, want %q", got, test.want)
		}
	}
}

func TestResponses(t *testing.T) { // CONN-05, CONN-07
	table := func(fields amqp.Table) string { return string(fields.Raw()) }
	good := table(amqp.Table{"LOGIN": "ann", "PASSWORD": "s3cret"})
	tests := []struct {
		name, mechanism, response string
		want                      string // the error's text
	}{
		{"plain", "PLAIN", "\x00ann\x00s3cret", ""},
		{"plain for another", "PLAIN", "bob\x00ann\x00s3cret", "response of PLAIN: not of the form NUL user NUL password"},
		{"plain without password", "PLAIN", "\x00ann", "response of PLAIN: not of the form NUL user NUL password"},
		{"plain with more", "PLAIN", "\x00ann\x00s3cret\x00", "response of PLAIN: not of the form NUL user NUL password"},
		{"plain with nothing", "PLAIN", "", "response of PLAIN: not of the form NUL user NUL password"},
		{"amqplain", "AMQPLAIN", good, ""},
		{"amqplain with more", "AMQPLAIN", table(amqp.Table{"LOGIN": "ann", "PASSWORD": "s3cret", "x": amqp.Table{"y": int8(1)}}), ""},
		{"amqplain twice", "AMQPLAIN", table(amqp.Table{"LOGIN": "bob"}) + good, ""}, // the last one counts
		{"amqplain with a length", "AMQPLAIN", string(amqp.RawTable(good).Append(nil)), "response of AMQPLAIN: not a field table"},
		{"amqplain cut off", "AMQPLAIN", good[:len(good)-1], "response of AMQPLAIN: not a field table"},
		{"amqplain without password", "AMQPLAIN", table(amqp.Table{"LOGIN": "ann"}), "response of AMQPLAIN: PASSWORD is missing or not a longstr"},
		{"amqplain without login", "AMQPLAIN", table(amqp.Table{"PASSWORD": "s3cret"}), "response of AMQPLAIN: LOGIN is missing or not a longstr"},
		{"amqplain with a number", "AMQPLAIN", table(amqp.Table{"LOGIN": "ann", "PASSWORD": int64(3)}), "response of AMQPLAIN: PASSWORD is missing or not a longstr"},
		{"amqplain with octets", "AMQPLAIN", table(amqp.Table{"LOGIN": "ann", "PASSWORD": []byte("s3cret")}), "response of AMQPLAIN: PASSWORD is missing or not a longstr"},
		{"amqplain with nothing", "AMQPLAIN", "", "response of AMQPLAIN: LOGIN is missing or not a longstr"},
		{"not on", "ANONYMOUS", "", `mechanism "ANONYMOUS" was not offered`},
		{"not offered here", "EXTERNAL", "", `mechanism "EXTERNAL" was not offered`},
		{"unknown", "plain", "\x00ann\x00s3cret", `mechanism "plain" was not offered`},
	}
	sasl := access.SASL{Mechanisms: []access.Mechanism{access.Plain, access.AMQPlain, access.External}}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := sasl.Credentials(access.ListenerTCP, test.mechanism, test.response, nil)
			switch {
			case test.want == "" && (err != nil || got != access.Credentials{Name: "ann", Password: "s3cret"}):
				t.Errorf("got %+v, %v", got, err)
			case test.want != "" && (err == nil || err.Error() != test.want || got != access.Credentials{}):
				t.Errorf("got %+v, %v; want %s", got, err, test.want)
			}
		})
	}
}

func TestAnonymousIsAConfiguredUser(t *testing.T) { // CONN-05
	sasl := access.SASL{Mechanisms: []access.Mechanism{access.Anonymous}, Anonymous: access.Credentials{Name: "guest", Password: "guest"}}
	got, err := sasl.Credentials(access.ListenerTCP, "ANONYMOUS", "anything", nil)
	if err != nil || got != sasl.Anonymous {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestSASLReportsAllFaultsTogether(t *testing.T) {
	err := access.SASL{
		Mechanisms:  []access.Mechanism{"GSSAPI", access.Anonymous},
		Certificate: access.CertificateName{From: "issuer", Alternative: "other_name", Index: -1},
	}.Validate()
	const want = `unknown mechanism "GSSAPI"; known are PLAIN, AMQPLAIN, EXTERNAL and ANONYMOUS
mechanism ANONYMOUS is on, but there is no anonymous user
certificates have no "issuer" to take names from; choose distinguished_name, common_name or subject_alternative_name
alternative names of type "other_name" are not supported; choose dns, ip, email or uri
index -1 of the alternative name is negative`
	if err == nil || err.Error() != want {
		t.Errorf("got %v", err)
	}
	if err := (access.SASL{}).Validate(); err != nil {
		t.Error(err)
	}
}

func FuzzPlain(f *testing.F) {
	for _, response := range []string{"", "\x00", "\x00a\x00b", "x\x00a\x00b", "\x00a\x00b\x00", "\x00\x00", "a", strings.Repeat("\x00", 99)} {
		f.Add(response)
	}
	f.Fuzz(func(t *testing.T, response string) {
		got, err := access.SASL{}.Credentials(access.ListenerTCP, "PLAIN", response, nil)
		if err == nil && "\x00"+got.Name+"\x00"+got.Password != response {
			t.Errorf("%q was read as %+v", response, got)
		}
	})
}

func FuzzAMQPlain(f *testing.F) {
	good := amqp.Table{"LOGIN": "a", "PASSWORD": "b"}.Raw()
	f.Add([]byte(good))
	f.Add([]byte(good)[:9])
	f.Add([]byte(amqp.Table{"LOGIN": "a", "PASSWORD": "b", "x": amqp.Table{"y": []any{nil}}}.Raw()))
	f.Add([]byte("\x05LOGINS\xff\xff\xff\xff"))
	f.Add([]byte("\xff"))
	f.Fuzz(func(t *testing.T, response []byte) {
		got, err := access.SASL{}.Credentials(access.ListenerTCP, "AMQPLAIN", string(response), nil)
		table, tableErr := amqp.RawTable(response).Decode() // the slow twin
		name, okName := table["LOGIN"].(string)
		password, okPassword := table["PASSWORD"].(string)
		if tableErr == nil && okName && okPassword {
			if (got != access.Credentials{Name: name, Password: password}) {
				t.Errorf("%q was read as %+v, %v; it is %q %q", response, got, err, name, password)
			}
		} else if tableErr == nil && err == nil {
			t.Errorf("%q was read as %+v", response, got)
		}
	})
}
