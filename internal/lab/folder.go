package lab

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// root is where every lab has its folder. It is in memory on most hosts: labs do not outlive the machine.
const root = "/run/spokeway-lab"

// Info is one lab of this host.
type Info struct {
	ID      string            `json:"id"`
	Name    string            `json:"name"`
	File    string            `json:"file"`
	Owner   int               `json:"owner,omitempty"` // process that runs it; 0 for one that stays up
	Started time.Time         `json:"started"`
	Nodes   map[string]string `json:"nodes"`    // name to namespace
	Other   []string          `json:"networks"` // namespaces of networks
	Binary  string            `json:"binary"`
	Birth   string            `json:"birth,omitempty"` // of the owner, in clock ticks: process ids are used again
}

// folder is a lab's directory: lab.json, and one directory per router.
type folder struct {
	path string
	info Info
}

// newFolder makes the folder of a new lab and writes down its owner.
func newFolder(info Info) (*folder, error) {
	var b [2]byte
	for range 100 {
		rand.Read(b[:])
		info.ID = hex.EncodeToString(b[:])
		d := &folder{path: filepath.Join(root, info.ID), info: info}
		if err := os.MkdirAll(root, 0o755); err != nil {
			return nil, err
		}
		err := os.Mkdir(d.path, 0o755)
		if err == nil {
			return d, d.save()
		}
		if !errors.Is(err, os.ErrExist) {
			return nil, err
		}
	}
	return nil, fmt.Errorf("%s is full of labs; remove some with `spokeway lab down`", root)
}

func (d *folder) save() error {
	text, err := json.MarshalIndent(d.info, "", "  ")
	if err != nil {
		return err
	}
	temporary := filepath.Join(d.path, "lab.json.new")
	if err := os.WriteFile(temporary, text, 0o644); err != nil {
		return err
	}
	return os.Rename(temporary, filepath.Join(d.path, "lab.json"))
}

// open reads the folder of a lab.
func open(id string) (*folder, error) {
	d := &folder{path: filepath.Join(root, id)}
	if id == "" || id != filepath.Base(id) {
		return nil, fmt.Errorf("%q is not the id of a lab", id)
	}
	text, err := os.ReadFile(filepath.Join(d.path, "lab.json"))
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("there is no lab %q; `spokeway lab list` shows those there are", id)
	}
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(text, &d.info); err != nil {
		return nil, fmt.Errorf("%s/lab.json: %w", d.path, err)
	}
	return d, nil
}

// remove takes down everything the folder names, then the folder.
func (d *folder) remove() error {
	var errs []error
	for _, name := range d.info.spaces() {
		errs = append(errs, removeSpace(name))
	}
	return errors.Join(append(errs, os.RemoveAll(d.path))...)
}

func (i Info) spaces() []string {
	all := append([]string{}, i.Other...)
	for _, s := range i.Nodes {
		all = append(all, s)
	}
	return all
}

// orphan reports whether the process that should have removed the lab is gone.
func (i Info) orphan() bool { return i.Owner != 0 && birth(i.Owner) != i.Birth }

// birth is when a process started, in clock ticks since boot; "" when there is none. See proc_pid_stat(5), field 22.
func birth(pid int) string {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return ""
	}
	_, rest, _ := strings.Cut(string(text), ") ")
	fields := strings.Fields(rest)
	if len(fields) < 20 || fields[0] == "Z" {
		return ""
	}
	return fields[19]
}

// folders are those of all labs that can be read.
func folders() []*folder {
	entries, _ := os.ReadDir(root)
	var all []*folder
	for _, e := range entries {
		if d, err := open(e.Name()); err == nil {
			all = append(all, d)
		}
	}
	return all
}

// sweep removes what killed runs left behind, and tells their ids.
func sweep() (removed []string, err error) {
	var errs []error
	for _, d := range folders() {
		if d.info.orphan() {
			errs = append(errs, d.remove())
			removed = append(removed, d.info.ID)
		}
	}
	return removed, errors.Join(append(errs, sweepEmpty())...)
}

// sweepEmpty removes folders of runs that were killed before they wrote anything.
func sweepEmpty() error {
	entries, _ := os.ReadDir(root)
	var errs []error
	for _, e := range entries {
		at, err := e.Info()
		if err != nil || time.Since(at.ModTime()) < time.Minute {
			continue
		}
		errs = append(errs, ignore(os.Remove(filepath.Join(root, e.Name())), unix.ENOTEMPTY, unix.ENOENT))
	}
	return errors.Join(errs...)
}

// ignore passes an error on unless it is one of these.
func ignore(err error, unless ...error) error {
	for _, u := range unless {
		if errors.Is(err, u) {
			return nil
		}
	}
	return err
}
