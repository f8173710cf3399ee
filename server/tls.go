package server

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"strings"
)

// VerifyMode is what a listener asks of clients' certificates.
type VerifyMode string

// The modes; the empty one is VerifyNone. Only names from certificates that were verified can log in.
const (
	VerifyNone    VerifyMode = "none"    // clients are not asked
	VerifyPeer    VerifyMode = "peer"    // clients may show one; if they do, it must be good
	VerifyRequire VerifyMode = "require" // clients must show a good one
)

// TLSConfig tells where a listener's certificates are: files in PEM, read once by Load.
type TLSConfig struct {
	// CertificateFile holds the server's certificate, and those between it and the authority behind it.
	CertificateFile string
	// KeyFile holds the private key of the first certificate, not encrypted.
	KeyFile string
	// AuthorityFile holds the authorities whose clients are trusted.
	AuthorityFile string
	Verify        VerifyMode
}

// Validate reports all faults together. Files are not looked at.
func (c TLSConfig) Validate() error {
	var faults []error
	if c.CertificateFile == "" {
		faults = append(faults, errors.New("tls: no certificate file is given"))
	}
	if c.KeyFile == "" {
		faults = append(faults, errors.New("tls: no key file is given"))
	}
	switch c.Verify {
	case "", VerifyNone:
	case VerifyPeer, VerifyRequire:
		if c.AuthorityFile == "" {
			faults = append(faults, fmt.Errorf("tls: verify mode %s needs an authority file to verify clients with", c.Verify))
		}
	default:
		faults = append(faults, fmt.Errorf("tls: unknown verify mode %q; choose none, peer or require", c.Verify))
	}
	return errors.Join(faults...)
}

// Load reads the files. Errors are one line and name the file.
func (c TLSConfig) Load() (*tls.Config, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	certificate, err := loadKeyPair(c.CertificateFile, c.KeyFile)
	if err != nil {
		return nil, err
	}
	config := &tls.Config{
		Certificates: []tls.Certificate{certificate},
		MinVersion:   tls.VersionTLS12, // older ones are broken, and no client needs them
	}
	switch c.Verify {
	case VerifyPeer:
		config.ClientAuth = tls.VerifyClientCertIfGiven
	case VerifyRequire:
		config.ClientAuth = tls.RequireAndVerifyClientCert
	}
	if c.AuthorityFile != "" {
		_, authorities, err := loadCertificates(c.AuthorityFile)
		if err != nil {
			return nil, fmt.Errorf("tls authorities: %w", err)
		}
		config.ClientCAs = x509.NewCertPool()
		for _, authority := range authorities {
			config.ClientCAs.AddCert(authority)
		}
	}
	return config, nil
}

func loadKeyPair(certificateFile, keyFile string) (tls.Certificate, error) {
	certificates, _, err := loadCertificates(certificateFile)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("tls certificate: %w", err)
	}
	key, err := loadKey(keyFile)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("tls key: %w", err)
	}
	pair, err := tls.X509KeyPair(certificates, key)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("tls key %s for certificate %s: %w", keyFile, certificateFile, err)
	}
	return pair, nil
}

// loadCertificates reads a file of certificates: as it is, and what is in it, which is at least one.
func loadCertificates(file string) ([]byte, []*x509.Certificate, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, nil, err
	}
	var certificates []*x509.Certificate
	var others []string
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			others = append(others, block.Type)
			continue
		}
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, nil, fmt.Errorf("%s: certificate %d: %w", file, len(certificates)+1, err)
		}
		certificates = append(certificates, certificate)
	}
	if len(certificates) == 0 {
		return nil, nil, fmt.Errorf("%s holds no certificate in PEM, but %s", file, contents(others))
	}
	return text, certificates, nil
}

// loadKey reads the one private key in a file.
func loadKey(file string) ([]byte, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var others []string
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		switch {
		case block.Type == "ENCRYPTED PRIVATE KEY", strings.Contains(block.Headers["Proc-Type"], "ENCRYPTED"):
			return nil, fmt.Errorf("%s is encrypted; decrypt it with openssl pkey -in %s", file, file)
		case strings.HasSuffix(block.Type, "PRIVATE KEY"):
			return pem.EncodeToMemory(block), nil
		}
		others = append(others, block.Type)
	}
	return nil, fmt.Errorf("%s holds no private key in PEM, but %s", file, contents(others))
}

// contents tells what a file holds instead of what was looked for.
func contents(types []string) string {
	if len(types) == 0 {
		return "no PEM at all"
	}
	return strings.Join(types, ", ")
}
