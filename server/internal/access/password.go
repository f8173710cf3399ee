package access

import (
	"crypto/md5"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
)

// Hashing names how a password was hashed, as RabbitMQ does. The empty one is SHA256.
type Hashing string

// The ways to hash a password (AUTH-07). New hashes should be SHA256, which RabbitMQ's tools expect;
// MD5 is for users who come from very old brokers.
const (
	SHA256 Hashing = "rabbit_password_hashing_sha256"
	SHA512 Hashing = "rabbit_password_hashing_sha512"
	MD5    Hashing = "rabbit_password_hashing_md5"
)

// saltSize is the number of random octets before a hash.
const saltSize = 4

// HashPassword hashes a password with four octets from random.
func HashPassword(random io.Reader, h Hashing, password string) (string, error) {
	var salt [saltSize]byte
	if _, err := io.ReadFull(random, salt[:]); err != nil {
		return "", fmt.Errorf("salt of a password: %w", err)
	}
	sum, err := h.sum(salt[:], password)
	if err != nil {
		return "", err
	}
	return base64.StdEncoding.EncodeToString(append(salt[:], sum...)), nil
}

// sum hashes salt and password.
func (h Hashing) sum(salt []byte, password string) ([]byte, error) {
	salted := append(append([]byte(nil), salt...), password...)
	switch h {
	case SHA256, "":
		sum := sha256.Sum256(salted)
		return sum[:], nil
	case SHA512:
		sum := sha512.Sum512(salted)
		return sum[:], nil
	case MD5:
		sum := md5.Sum(salted)
		return sum[:], nil
	}
	return nil, fmt.Errorf("unknown hashing algorithm %q; known are %s, %s and %s", h, SHA256, SHA512, MD5)
}

// secret takes the hash out of its base64; it is nil if there is no password.
func (u User) secret() ([]byte, error) {
	sample, err := u.Hashing.sum(make([]byte, saltSize), "")
	if err != nil || u.PasswordHash == "" {
		return nil, err
	}
	secret, err := base64.StdEncoding.DecodeString(u.PasswordHash)
	if err != nil {
		return nil, errors.New("the password hash is not base64")
	}
	if want := saltSize + len(sample); len(secret) != want {
		return nil, fmt.Errorf("the password hash has %d octets, one by %s has %d", len(secret), u.Hashing, want)
	}
	return secret, nil
}

// Verify checks a password. How long it takes does not tell how much of it is right.
func (u User) Verify(password string) bool {
	secret, err := u.secret()
	if err != nil || secret == nil {
		return false
	}
	sum, err := u.Hashing.sum(secret[:saltSize], password)
	return err == nil && subtle.ConstantTimeCompare(sum, secret[saltSize:]) == 1
}
