package access

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// CertificateSource is what of a certificate is taken for the user's name.
type CertificateSource string

// The sources of names (ssl_cert_login_from); the empty one is FromDistinguishedName.
const (
	FromDistinguishedName      CertificateSource = "distinguished_name"
	FromCommonName             CertificateSource = "common_name"
	FromSubjectAlternativeName CertificateSource = "subject_alternative_name"
)

// AlternativeName is a type of subject alternative names (ssl_cert_login_san_type).
type AlternativeName string

// The types of alternative names; the empty one is AlternativeDNS.
const (
	AlternativeDNS   AlternativeName = "dns"
	AlternativeIP    AlternativeName = "ip"
	AlternativeEmail AlternativeName = "email"
	AlternativeURI   AlternativeName = "uri"
)

// CertificateName says how a user's name is found in a certificate (CONN-05). The zero value takes the
// whole subject.
type CertificateName struct {
	From CertificateSource
	// Alternative and Index say which alternative name: the Index-th of the type, from 0.
	Alternative AlternativeName
	Index       int
}

// Validate reports all faults together.
func (n CertificateName) Validate() error {
	var faults []error
	switch n.From {
	case "", FromDistinguishedName, FromCommonName, FromSubjectAlternativeName:
	default:
		faults = append(faults, fmt.Errorf("certificates have no %q to take names from; choose %s, %s or %s",
			n.From, FromDistinguishedName, FromCommonName, FromSubjectAlternativeName))
	}
	switch n.Alternative {
	case "", AlternativeDNS, AlternativeIP, AlternativeEmail, AlternativeURI:
	default:
		faults = append(faults, fmt.Errorf("alternative names of type %q are not supported; choose %s, %s, %s or %s",
			n.Alternative, AlternativeDNS, AlternativeIP, AlternativeEmail, AlternativeURI))
	}
	if n.Index < 0 {
		faults = append(faults, fmt.Errorf("index %d of the alternative name is negative", n.Index))
	}
	return errors.Join(faults...)
}

// Of returns the user's name. The certificate has been verified.
func (n CertificateName) Of(certificate *x509.Certificate) (string, error) {
	if n.From == FromSubjectAlternativeName {
		return n.alternative(certificate)
	}
	var subject pkix.RDNSequence
	if rest, err := asn1.Unmarshal(certificate.RawSubject, &subject); err != nil || len(rest) > 0 {
		return "", errors.New("the certificate's subject cannot be read")
	}
	var name string
	var err error
	if n.From == FromCommonName {
		name, err = commonName(subject)
	} else {
		name, err = distinguishedName(subject)
	}
	if err == nil && name == "" {
		err = errors.New("the certificate's subject is empty")
	}
	return name, err
}

func (n CertificateName) alternative(c *x509.Certificate) (string, error) {
	var names []string
	switch n.Alternative {
	case AlternativeIP:
		for _, ip := range c.IPAddresses {
			names = append(names, ip.String())
		}
	case AlternativeEmail:
		names = c.EmailAddresses
	case AlternativeURI:
		for _, uri := range c.URIs {
			names = append(names, uri.String())
		}
	default:
		names = c.DNSNames
	}
	if n.Index < 0 || n.Index >= len(names) || names[n.Index] == "" {
		return "", fmt.Errorf("the certificate has no alternative name of type %s at %d", n.Alternative, n.Index)
	}
	return names[n.Index], nil
}

// commonName joins the common names with commas, should there be several.
func commonName(subject pkix.RDNSequence) (string, error) {
	var names []string
	for _, set := range subject {
		for _, attribute := range set {
			if !attribute.Type.Equal(asn1.ObjectIdentifier{2, 5, 4, 3}) {
				continue
			}
			name, err := attributeText(attribute)
			if err != nil {
				return "", err
			}
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return "", errors.New("the certificate's subject has no common name")
	}
	return strings.Join(names, ","), nil
}

// distinguishedName renders a subject as RabbitMQ does, for users are named so: RFC 4514, the last part
// first, with RabbitMQ's names of types and all that is not ASCII escaped.
func distinguishedName(subject pkix.RDNSequence) (string, error) {
	var sets []string
	for _, set := range subject {
		var attributes []string
		for _, attribute := range set {
			value, err := attributeText(attribute)
			if err != nil {
				return "", err
			}
			attributes = append(attributes, attributeName(attribute.Type)+"="+escapeAttribute(value))
		}
		sets = append(sets, strings.Join(attributes, "+"))
	}
	slices.Reverse(sets)
	return strings.Join(sets, ","), nil
}

// attributeText returns an attribute's value in UTF-8. The parser has converted the old character sets,
// and taken T61 for Latin-1 as RabbitMQ does.
func attributeText(a pkix.AttributeTypeAndValue) (string, error) {
	text, ok := a.Value.(string)
	if !ok {
		return "", fmt.Errorf("%s of the certificate's subject is not text", attributeName(a.Type))
	}
	return text, nil
}

// attributeName returns the short name of a type, or its number if it has none.
func attributeName(id asn1.ObjectIdentifier) string {
	switch dotted := id.String(); dotted {
	case "2.5.4.3":
		return "CN"
	case "2.5.4.4":
		return "SN"
	case "2.5.4.5":
		return "SERIALNUMBER"
	case "2.5.4.6":
		return "C"
	case "2.5.4.7":
		return "L"
	case "2.5.4.8":
		return "ST"
	case "2.5.4.9":
		return "STREET"
	case "2.5.4.10":
		return "O"
	case "2.5.4.11":
		return "OU"
	case "2.5.4.12":
		return "TITLE"
	case "2.5.4.42":
		return "GIVENNAME"
	case "2.5.4.43":
		return "INITIALS"
	case "2.5.4.44":
		return "GENERATIONQUALIFIER"
	case "2.5.4.65":
		return "PSEUDONYM"
	case "0.9.2342.19200300.100.1.1":
		return "UID"
	case "0.9.2342.19200300.100.1.25":
		return "DC"
	case "1.2.840.113549.1.9.1":
		return "EMAILADDRESS"
	default:
		return dotted
	}
}

func escapeAttribute(value string) string {
	var b strings.Builder
	for i := range len(value) {
		c := value[i]
		switch {
		case i == 0 && (c == ' ' || c == '#'), i == len(value)-1 && c == ' ', strings.IndexByte(`"+,;<>\`, c) >= 0:
			b.WriteByte('\\')
			b.WriteByte(c)
		case c < 0x20 || c >= 0x7e: // RabbitMQ escapes ~ too
			fmt.Fprintf(&b, `\%02X`, c)
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}
