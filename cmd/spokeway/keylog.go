package main

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/spokeway/spokeway/internal/proto/ike"
)

// keyLogVariable names a folder to which a laboratory has the keys of all SAs written, as Wireshark reads them. Whoever
// reads it can read all traffic, so it is told at every start.
const keyLogVariable = "SPOKEWAY_KEYLOG"

// openKeyLog opens the files of the folder, or gives nil where there is none. It is done before the process loses its
// right to open files.
func openKeyLog(log *slog.Logger) (func(file, line string), error) {
	folder := os.Getenv(keyLogVariable)
	if folder == "" {
		return nil, nil
	}
	files := map[string]*os.File{}
	for _, name := range []string{ike.IKEKeys, ike.ESPKeys} {
		f, err := os.OpenFile(filepath.Join(folder, name), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			return nil, fmt.Errorf("%s: %w: unset it, or name a folder", keyLogVariable, err)
		}
		files[name] = f
	}
	log.Warn("daemon.keys-written", "folder", folder, "remedy", "unset "+keyLogVariable+" outside of laboratories")
	return func(file, line string) {
		if _, err := files[file].WriteString(line + "\n"); err != nil {
			log.Error("daemon.keys-lost", "error", err)
		}
	}, nil
}
