package api

import (
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/spokeway/spokeway/internal/capture"
)

// capture streams a peer's packets until the caller goes, takes too long to read, or has what it asked for. It shows what
// users send, so it is not for everybody who may look.
func (s *server) capture(w http.ResponseWriter, r *http.Request) {
	if err := s.trust(r, "api.capture"); err != nil {
		fail(w, err)
		return
	}
	req, err := captureOf(r)
	if err != nil {
		fail(w, err)
		return
	}
	ctx, cancel := s.whileServing(r.Context())
	defer cancel()
	http.NewResponseController(w).SetReadDeadline(time.Time{})
	out := &flusher{w: w}
	if err := s.Source.Capture(ctx, req, out); err != nil && !out.begun {
		fail(w, err)
	}
}

// flusher sends each Write on at once, and gives a slow reader a while.
type flusher struct {
	w     http.ResponseWriter
	begun bool
}

func (f *flusher) Write(b []byte) (int, error) {
	if !f.begun {
		f.w.Header().Set("Content-Type", "application/x-pcapng")
		f.begun = true
	}
	ctl := http.NewResponseController(f.w)
	ctl.SetWriteDeadline(time.Now().Add(answerTimeout))
	n, err := f.w.Write(b)
	if err != nil {
		return n, err
	}
	if err := ctl.Flush(); err != nil {
		return n, err
	}
	ctl.SetWriteDeadline(time.Time{}) // nothing may come for long
	return n, nil
}

func captureOf(r *http.Request) (req capture.Request, err error) {
	q := r.URL.Query()
	req.Peer = q.Get("peer")
	if req.Peer == "" {
		return req, fmt.Errorf("capture: no peer: %w", errTooMuch)
	}
	req.Outer = q.Get("outer") == "true"
	req.Inner = q.Get("inner") == "true" || !req.Outer
	if text := q.Get("count"); text != "" {
		if req.Count, err = strconv.Atoi(text); err != nil || req.Count < 0 {
			return req, fmt.Errorf("capture: count %q: %w", text, errTooMuch)
		}
	}
	if text := q.Get("duration"); text != "" {
		if req.Duration, err = time.ParseDuration(text); err != nil || req.Duration < 0 {
			return req, fmt.Errorf("capture: duration %q: %w", text, errTooMuch)
		}
	}
	return req, nil
}
