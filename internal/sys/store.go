package sys

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// store keeps values over restarts in one small file. It is written beside the file and renamed, so that a crash
// leaves the old or the new one.
type store struct {
	path string // "" keeps nothing
	log  logger

	mu     sync.Mutex
	values map[string]string
	dirty  chan struct{} // holds one token when there is something to write
	stop   chan struct{}
	done   chan struct{}
	once   sync.Once
	err    error // of the last writing; for whoever saw done closed
}

// stateFile is the file's shape.
type stateFile struct {
	Version int               `json:"version"`
	Values  map[string]string `json:"values"`
}

func openStore(dir string, log logger) *store {
	s := &store{
		log: log, values: map[string]string{},
		dirty: make(chan struct{}, 1), stop: make(chan struct{}), done: make(chan struct{}),
	}
	if dir == "" {
		return s
	}
	s.path = filepath.Join(dir, "state.json")
	if err := writable(dir); err != nil {
		log.Warn("sys.state", "doing", "keep state in "+dir, "cause", err,
			"remedy", "make the folder writable or give another --state; until then a restart forgets request IDs and which addresses are ours")
	}
	values, err := readState(s.path)
	if err != nil {
		log.Warn("sys.state", "doing", "read "+s.path, "cause", err, "remedy", "starting afresh; the file will be written anew")
	}
	maps.Copy(s.values, values)
	return s
}

// writable makes the folder where it is missing. A router without one still forwards.
func writable(dir string) error {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return err
	}
	return unix.Access(dir, unix.W_OK|unix.X_OK)
}

func readState(path string) (map[string]string, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var f stateFile
	if err := json.Unmarshal(b, &f); err != nil {
		return nil, err
	}
	if f.Version != 1 {
		return nil, fmt.Errorf("version %d is not known", f.Version)
	}
	return f.Values, nil
}

func (s *store) all() map[string]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.values)
}

func (s *store) set(key, value string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.values[key] == value {
		return
	}
	s.values[key] = value
	if value == "" {
		delete(s.values, key)
	}
	select {
	case s.dirty <- struct{}{}:
	default:
	}
}

// run writes the file whenever something changed. What changes while it writes goes into the next writing.
func (s *store) run() {
	defer close(s.done)
	for {
		select {
		case <-s.dirty:
			s.save()
		case <-s.stop:
			select {
			case <-s.dirty:
				s.save()
			default:
			}
			return
		}
	}
}

func (s *store) save() {
	if s.err = s.write(); s.err != nil {
		s.err = fmt.Errorf("write %s: %w", s.path, s.err)
		s.log.Warn("sys.state", "cause", s.err, "remedy", "is the state folder writable?")
	}
}

func (s *store) write() error {
	if s.path == "" {
		return nil
	}
	b, err := json.MarshalIndent(stateFile{1, s.all()}, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(s.path), 0o750); err != nil {
		return err
	}
	return replaceFile(s.path, append(b, '\n'))
}

// replaceFile puts b in place of the file, durably: contents first, then the name.
func replaceFile(path string, b []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".state-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // fails once it has its real name
	_, err = f.Write(b)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// close writes what is not written yet, and ends run. It may be called again.
func (s *store) close(patience time.Duration) error {
	s.once.Do(func() { close(s.stop) })
	select {
	case <-s.done:
		return s.err
	case <-time.After(patience):
		return fmt.Errorf("write %s: not done after %v", s.path, patience)
	}
}
