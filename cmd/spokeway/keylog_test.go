package main

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spokeway/spokeway/internal/proto/ike"
)

func TestKeyLog(t *testing.T) {
	t.Setenv(keyLogVariable, "")
	if f, err := openKeyLog(slog.New(slog.DiscardHandler)); f != nil || err != nil {
		t.Errorf("without a folder: %v", err)
	}
	folder := t.TempDir()
	t.Setenv(keyLogVariable, folder)
	var told bytes.Buffer
	f, err := openKeyLog(slog.New(slog.NewTextHandler(&told, nil)))
	if err != nil {
		t.Fatal(err)
	}
	f(ike.IKEKeys, "one")
	f(ike.ESPKeys, "two")
	f(ike.ESPKeys, "three")
	for name, want := range map[string]string{ike.IKEKeys: "one\n", ike.ESPKeys: "two\nthree\n"} {
		text, err := os.ReadFile(filepath.Join(folder, name))
		if err != nil || string(text) != want {
			t.Errorf("%s: %q, %v", name, text, err)
		}
		if info, _ := os.Stat(filepath.Join(folder, name)); info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v", name, info.Mode())
		}
	}
	if !strings.Contains(told.String(), folder) || strings.Contains(told.String(), "one") {
		t.Errorf("the log says %s", &told)
	}
	t.Setenv(keyLogVariable, filepath.Join(folder, "none"))
	if _, err := openKeyLog(slog.New(slog.DiscardHandler)); err == nil {
		t.Error("no error for a folder that is not there")
	}
}
