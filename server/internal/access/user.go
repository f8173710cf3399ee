package access

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// The tags that mean something; any other is kept (AUTH-05).
const (
	TagAdministrator = "administrator"
	TagMonitoring    = "monitoring"
	TagPolicymaker   = "policymaker"
	TagManagement    = "management"
	TagImpersonator  = "impersonator"
)

// User is somebody who may log in.
type User struct {
	Name string
	// PasswordHash is base64 of a salt and the hash of salt and password (AUTH-07). If it is empty there is
	// no password to log in with; certificates still do.
	PasswordHash string
	// Hashing made the hash.
	Hashing Hashing
	// Tags keep the order in which they were given.
	Tags []string
}

// Has reports whether the user has a tag.
func (u User) Has(tag string) bool { return slices.Contains(u.Tags, tag) }

// MayImpersonate reports whether the user may publish in another's name (PUB-06).
func (u User) MayImpersonate() bool { return u.Has(TagImpersonator) }

// MayManage reports whether the user may use the HTTP API at all.
func (u User) MayManage() bool {
	return u.Has(TagManagement) || u.MayMonitor() || u.MaySetPolicies()
}

// MayMonitor reports whether the user may see connections and figures of the whole broker.
func (u User) MayMonitor() bool { return u.Has(TagMonitoring) || u.MayAdminister() }

// MaySetPolicies reports whether the user may set policies and parameters in his virtual hosts.
func (u User) MaySetPolicies() bool { return u.Has(TagPolicymaker) || u.MayAdminister() }

// MayAdminister reports whether the user may change users, permissions and virtual hosts.
func (u User) MayAdminister() bool { return u.Has(TagAdministrator) }

// ParseTags takes a list of tags apart that stands in one string, with commas between.
func ParseTags(list string) []string {
	var tags []string
	for tag := range strings.SplitSeq(list, ",") {
		if tag = strings.TrimSpace(tag); tag != "" {
			tags = append(tags, tag)
		}
	}
	return tags
}

func (u User) check() error {
	if u.Name == "" {
		return errors.New("the user has no name")
	}
	if !utf8.ValidString(u.Name) {
		return fmt.Errorf("user name %.300q is not UTF-8", u.Name)
	}
	if _, err := u.secret(); err != nil {
		return fmt.Errorf("user %q: %w", u.Name, err)
	}
	return nil
}

func (u User) clone() User {
	u.Tags = slices.Clone(u.Tags)
	return u
}
