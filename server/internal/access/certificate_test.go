package access_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"net"
	"net/url"
	"testing"
	"time"

	"github.com/millrace-mq/millrace/server/internal/access"
)

// attribute is one part of a subject.
func attribute(value any, id ...int) pkix.AttributeTypeAndValue {
	return pkix.AttributeTypeAndValue{Type: id, Value: value}
}

var commonName = []int{2, 5, 4, 3}

// newCertificate makes a certificate of a subject.
func newCertificate(t *testing.T, subject pkix.RDNSequence, edit func(*x509.Certificate)) *x509.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := asn1.Marshal(subject)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), RawSubject: raw, NotAfter: time.Unix(4e9, 0)}
	if edit != nil {
		edit(template)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return certificate
}

func TestNamesOfCertificates(t *testing.T) { // CONN-05
	subject := pkix.RDNSequence{
		{attribute("DE", 2, 5, 4, 6)},
		{attribute("Müller & Co, \"x\"", 2, 5, 4, 10)},
		{attribute("a", 2, 5, 4, 11), attribute("b+c", 2, 5, 4, 11)},
		{attribute("client 1", commonName...)},
	}
	plain := newCertificate(t, subject, func(c *x509.Certificate) {
		c.DNSNames = []string{"one.example", "two.example"}
		c.EmailAddresses = []string{"ann@example.org"}
		c.IPAddresses = []net.IP{net.ParseIP("192.0.2.1")}
		c.URIs = []*url.URL{{Scheme: "spiffe", Host: "example.org", Path: "/ann"}}
	})
	of := func(parts ...pkix.AttributeTypeAndValue) *x509.Certificate {
		var sequence pkix.RDNSequence
		for _, part := range parts {
			sequence = append(sequence, pkix.RelativeDistinguishedNameSET{part})
		}
		return newCertificate(t, sequence, nil)
	}
	latin1 := asn1.RawValue{Tag: asn1.TagT61String, Bytes: []byte("M\xfcller")}
	const alternative = access.FromSubjectAlternativeName
	tests := []struct {
		name        string
		from        access.CertificateName
		certificate *x509.Certificate
		want, err   string
	}{
		{"distinguished name", access.CertificateName{}, plain, `CN=client 1,OU=a+OU=b\+c,O=M\C3\BCller & Co\, \"x\",C=DE`, ""},
		{"common name", access.CertificateName{From: access.FromCommonName}, plain, "client 1", ""},
		{"dns", access.CertificateName{From: alternative}, plain, "one.example", ""},
		{"second dns", access.CertificateName{From: alternative, Alternative: access.AlternativeDNS, Index: 1}, plain, "two.example", ""},
		{"email", access.CertificateName{From: alternative, Alternative: access.AlternativeEmail}, plain, "ann@example.org", ""},
		{"ip", access.CertificateName{From: alternative, Alternative: access.AlternativeIP}, plain, "192.0.2.1", ""},
		{"uri", access.CertificateName{From: alternative, Alternative: access.AlternativeURI}, plain, "spiffe://example.org/ann", ""},
		{
			"no such alternative",
			access.CertificateName{From: alternative, Alternative: access.AlternativeIP, Index: 1},
			plain,
			"", "the certificate has no alternative name of type ip at 1",
		},
		{"several common names", access.CertificateName{From: access.FromCommonName}, of(attribute("a", commonName...), attribute("b", commonName...)), "a,b", ""},
		{"no common name", access.CertificateName{From: access.FromCommonName}, of(attribute("DE", 2, 5, 4, 6)), "", "the certificate's subject has no common name"},
		{"empty subject", access.CertificateName{}, of(), "", "the certificate's subject is empty"},
		{
			"types",
			access.CertificateName{},
			of(attribute("1", 2, 5, 4, 4), attribute("2", 2, 5, 4, 5), attribute("3", 2, 5, 4, 7), attribute("4", 2, 5, 4, 8), attribute("5", 2, 5, 4, 9),
				attribute("6", 2, 5, 4, 12), attribute("7", 2, 5, 4, 42), attribute("8", 2, 5, 4, 43), attribute("9", 2, 5, 4, 44), attribute("10", 2, 5, 4, 65),
				attribute("11", 0, 9, 2342, 19200300, 100, 1, 1), attribute("12", 0, 9, 2342, 19200300, 100, 1, 25),
				attribute("13", 1, 2, 840, 113549, 1, 9, 1), attribute("14", 2, 5, 4, 17)),
			"2.5.4.17=14,EMAILADDRESS=13,DC=12,UID=11,PSEUDONYM=10,GENERATIONQUALIFIER=9,INITIALS=8,GIVENNAME=7,TITLE=6," +
				"STREET=5,ST=4,L=3,SERIALNUMBER=2,SN=1", "",
		},
		{"blanks", access.CertificateName{}, of(attribute(" a b ", commonName...)), `CN=\ a b\ `, ""},
		{"one blank", access.CertificateName{}, of(attribute(" ", commonName...)), `CN=\ `, ""},
		{"hash", access.CertificateName{}, of(attribute("#a#", commonName...)), `CN=\#a#`, ""},
		{"all that is escaped", access.CertificateName{}, of(attribute("a\"+,;<>\\=~\x01\x7f", commonName...)), `CN=a\"\+\,\;\<\>\\=\7E\01\7F`, ""},
		{"old text", access.CertificateName{}, of(attribute(latin1, commonName...)), `CN=M\C3\BCller`, ""},
		{"old common name", access.CertificateName{From: access.FromCommonName}, of(attribute(latin1, commonName...)), "Müller", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := test.from.Of(test.certificate)
			if got != test.want || (err == nil) != (test.err == "") || err != nil && err.Error() != test.err {
				t.Errorf("got  %q, %v\nwant %q, %s", got, err, test.want, test.err)
			}
		})
	}
}

func TestExternalNeedsACertificate(t *testing.T) { // CONN-05
	sasl := access.SASL{
		Mechanisms:  []access.Mechanism{access.External},
		Certificate: access.CertificateName{From: access.FromCommonName},
	}
	ann := newCertificate(t, pkix.RDNSequence{{attribute("ann", commonName...)}}, nil)
	got, err := sasl.Credentials(access.ListenerTLSClients, "EXTERNAL", "", ann)
	if err != nil || got != (access.Credentials{Name: "ann", Vouched: true}) {
		t.Errorf("got %+v, %v", got, err)
	}
	got, err = sasl.Credentials(access.ListenerTLSClients, "EXTERNAL", "", nil)
	if err == nil || err.Error() != "response of EXTERNAL: the client has shown no certificate" || got != (access.Credentials{}) {
		t.Errorf("got %+v, %v", got, err)
	}
	nobody := newCertificate(t, pkix.RDNSequence{}, nil)
	if got, err = sasl.Credentials(access.ListenerTLSClients, "EXTERNAL", "", nobody); err == nil || got.Vouched {
		t.Errorf("got %+v, %v", got, err)
	}
}
