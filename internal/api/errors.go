package api

import (
	"encoding/json"
	"errors"
	"net/http"

	"github.com/spokeway/spokeway/internal/query"
)

// Errors a caller decides on. They cross the socket by status code.
var (
	ErrForbidden = errors.New("only root or the daemon's own user may change things: try it with sudo")

	errBusy    = errors.New("the daemon is busy with other callers: try again")
	errTooMuch = errors.New("bad request")
)

// statuses pairs errors with the HTTP status that carries them.
var statuses = []struct {
	err    error
	status int
}{
	{query.ErrNotFound, http.StatusNotFound},
	{query.ErrConfig, http.StatusUnprocessableEntity},
	{ErrForbidden, http.StatusForbidden},
	{errBusy, http.StatusServiceUnavailable},
	{errTooMuch, http.StatusBadRequest},
}

// failure is the body of an answer that is not 200.
type failure struct {
	Error string `json:"error"`
}

func fail(w http.ResponseWriter, err error) {
	status := http.StatusInternalServerError
	for _, s := range statuses {
		if errors.Is(err, s.err) {
			status = s.status
		}
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(failure{err.Error()})
}

// remoteError is an error of the daemon: its words, and what it is one of.
type remoteError struct {
	text string
	kind error
}

func (e *remoteError) Error() string { return e.text }
func (e *remoteError) Unwrap() error { return e.kind }

func remote(status int, body failure) error {
	e := &remoteError{text: body.Error}
	for _, s := range statuses {
		if s.status == status {
			e.kind = s.err
		}
	}
	if e.text == "" {
		e.text = http.StatusText(status)
	}
	return e
}
