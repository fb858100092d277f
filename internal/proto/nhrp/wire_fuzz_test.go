package nhrp_test

import (
	"bytes"
	"reflect"
	"testing"

	"github.com/spokeway/spokeway/internal/proto/nhrp"
)

// FuzzParse parses octets as they are, and with the length and the checksum made right, without which hardly a
// mutation would get past them.
func FuzzParse(f *testing.F) {
	for _, b := range captured(f) {
		f.Add(b)
	}
	f.Add(ciscoRegistration.Append(nil))
	for _, families := range allFamilies {
		for _, p := range everyType(families) {
			f.Add(p.Append(nil))
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		checkTotal(t, b)
		if len(b) >= 20 && len(b) <= nhrp.MaxSize {
			checkTotal(t, seal(bytes.Clone(b)))
		}
	})
}

func FuzzParseCIEs(f *testing.F) {
	for _, b := range captured(f) {
		p := mustParse(f, b)
		f.Add(nhrp.AppendCIEs(nil, p.CIEs))
		for _, e := range p.Extensions {
			f.Add(e.Value)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		cies, err := nhrp.ParseCIEs(b)
		if err != nil {
			return
		}
		again, err := nhrp.ParseCIEs(nhrp.AppendCIEs(nil, cies))
		if err != nil || !reflect.DeepEqual(again, cies) {
			t.Fatalf("%v\n got %+v\nwant %+v", err, again, cies)
		}
	})
}
