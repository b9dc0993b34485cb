package main

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/buildbarn/go-xdr/pkg/protocols/nfsv4"
)

// What may be written and not yet be on the server's disk; it is kept, to be written again if the
// server loses it.
const maxDirty = 32 << 20

// node is a file or folder that the system knows, by the server's handle.
type node struct {
	id      uint64
	handle  []byte
	lookups uint64

	writing sync.Mutex
	dirty   []chunk
	unsaved int

	locking sync.Mutex
	locks   map[lockKey]*lockState
}

type chunk struct {
	file     *openFile
	offset   uint64
	data     []byte
	verifier [8]byte
}

// openFile is one open, with an owner of its own: so none has to be merged with another.
type openFile struct {
	node    *node
	owner   []byte
	access  uint32
	who     creds
	appends bool

	mu      sync.Mutex
	stateid nfsv4.Stateid4
	lost    error
}

func (f *openFile) current() nfsv4.Stateid4 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.stateid
}

func (f *openFile) trouble() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.lost
}

func (f *openFile) becomes(stateid nfsv4.Stateid4, lost error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.stateid, f.lost = stateid, lost
}

// state is all that is open, so that it can be taken back from a server that has started anew.
type state struct {
	client *client
	mu     sync.Mutex
	files  map[*openFile]struct{}
	opened uint64
}

func newState(client *client) *state {
	return &state{client: client, files: map[*openFile]struct{}{}}
}

func (s *state) newFile(at *node, access uint32, who creds) *openFile {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.opened++
	return &openFile{node: at, owner: fmt.Appendf(nil, "open %d", s.opened), access: access, who: who}
}

func (s *state) add(file *openFile, answer nfsv4.NfsResop4) {
	file.becomes(stateidOf(answer), nil)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.files[file] = struct{}{}
}

func (s *state) remove(file *openFile) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.files, file)
}

func (s *state) all() []*openFile {
	s.mu.Lock()
	defer s.mu.Unlock()
	var found []*openFile
	for file := range s.files {
		found = append(found, file)
	}
	return found
}

func stateidOf(answer nfsv4.NfsResop4) nfsv4.Stateid4 {
	return answer.(*nfsv4.NfsResop4_OP_OPEN).Opopen.(*nfsv4.Open4res_NFS4_OK).Resok4.Stateid
}

func putfh(handle []byte) op {
	return &nfsv4.NfsArgop4_OP_PUTFH{Opputfh: nfsv4.Putfh4args{Object: handle}}
}

func (s *state) openOp(file *openFile, how nfsv4.Openflag4, claim nfsv4.OpenClaim4) op {
	return &nfsv4.NfsArgop4_OP_OPEN{Opopen: nfsv4.Open4args{
		ShareAccess: file.access | nfsv4.OPEN4_SHARE_ACCESS_WANT_NO_DELEG,
		Owner:       nfsv4.StateOwner4{Clientid: s.client.clientid, Owner: file.owner},
		Openhow:     how, Claim: claim,
	}}
}

var existing = &nfsv4.Openflag4_default{Opentype: nfsv4.OPEN4_NOCREATE}

func (s *state) again(file *openFile) []op {
	return []op{putfh(file.node.handle), s.openOp(file, existing, &nfsv4.OpenClaim4_CLAIM_FH{})}
}

// open opens a file that is there.
func (s *state) open(ctx context.Context, at *node, access uint32, who creds) (*openFile, error) {
	file := s.newFile(at, access, who)
	answer, err := s.client.run(ctx, who, func() []op { return s.again(file) }, func(late []nfsv4.NfsResop4) {
		s.add(file, late[1])
		s.close(s.client.ctx, file)
	})
	if err != nil {
		return nil, err
	}
	s.add(file, answer[1])
	return file, nil
}

func (s *state) close(ctx context.Context, file *openFile) error {
	s.remove(file)
	if file.trouble() != nil {
		return nil
	}
	_, err := s.client.run(ctx, file.who, func() []op {
		return []op{putfh(file.node.handle), &nfsv4.NfsArgop4_OP_CLOSE{Opclose: nfsv4.Close4args{OpenStateid: file.current()}}}
	}, nil)
	return err
}

// with carries out *build* on an open file, which is opened again if the server knows it no longer.
func (s *state) with(ctx context.Context, file *openFile, build func(nfsv4.Stateid4) []op) ([]nfsv4.NfsResop4, error) {
	for tries := 0; ; tries++ {
		if lost := file.trouble(); lost != nil {
			return nil, lost
		}
		var used nfsv4.Stateid4
		answer, err := s.client.run(ctx, file.who, func() []op {
			used = file.current()
			return append([]op{putfh(file.node.handle)}, build(used)...)
		}, nil)
		if !isForgotten(err) || tries == 3 {
			return answer, err
		}
		if file.current() == used {
			found, err := s.client.run(ctx, file.who, func() []op { return s.again(file) }, nil)
			if err != nil {
				return nil, err
			}
			file.becomes(stateidOf(found[1]), nil)
		}
	}
}

func isForgotten(err error) bool {
	var refused nfsError
	if !errors.As(err, &refused) {
		return false
	}
	switch nfsv4.Nfsstat4(refused) {
	case nfsv4.NFS4ERR_BAD_STATEID, nfsv4.NFS4ERR_STALE_STATEID, nfsv4.NFS4ERR_OLD_STATEID,
		nfsv4.NFS4ERR_EXPIRED, nfsv4.NFS4ERR_ADMIN_REVOKED:
		return true
	}
	return false
}

// reclaim tells a server that has lost it, or never knew, what we have: first all that it gives
// back within its grace period, then what has to be opened like new; then what it may have lost.
func (s *state) reclaim(made *session) error {
	var late []*openFile
	for _, file := range s.all() {
		if file.trouble() != nil {
			continue
		}
		claim := &nfsv4.OpenClaim4_CLAIM_PREVIOUS{DelegateType: nfsv4.OPEN_DELEGATE_NONE}
		answer, err := s.client.within(made, file.who, putfh(file.node.handle), s.openOp(file, existing, claim))
		switch {
		case err == nil:
			file.becomes(stateidOf(answer[1]), nil)
			if err := s.relock(made, file); err != nil {
				return err
			}
		case isSession(err):
			return err
		default:
			late = append(late, file)
		}
	}
	_, err := s.client.within(made, creds{}, &nfsv4.NfsArgop4_OP_RECLAIM_COMPLETE{})
	if err != nil && err != error(nfsError(nfsv4.NFS4ERR_COMPLETE_ALREADY)) {
		return err
	}
	for _, file := range late {
		answer, err := s.client.within(made, file.who, s.again(file)...)
		if isSession(err) {
			return err
		}
		if err != nil {
			complain("server %s: an open file is lost: %v", s.client.address, err)
			file.becomes(nfsv4.Stateid4{}, errno(err))
			continue
		}
		file.becomes(stateidOf(answer[1]), s.forfeit(file))
	}
	return s.rewrite(made)
}

// isSession tells an error of connection or session from the server's answer to an operation.
func isSession(err error) bool {
	var refused nfsError
	if err == nil {
		return false
	}
	if !errors.As(err, &refused) {
		return true
	}
	switch nfsv4.Nfsstat4(refused) {
	case nfsv4.NFS4ERR_BADSESSION, nfsv4.NFS4ERR_DEADSESSION, nfsv4.NFS4ERR_STALE_CLIENTID,
		nfsv4.NFS4ERR_SEQ_MISORDERED, nfsv4.NFS4ERR_BADSLOT:
		return true
	}
	return false
}

// rewrite writes again what a server that was lost may not have had on its disk.
func (s *state) rewrite(made *session) error {
	nodes := map[*node]struct{}{}
	for _, file := range s.all() {
		nodes[file.node] = struct{}{}
	}
	for at := range nodes {
		for one := s.oldest(at); one != nil; one = s.oldest(at) {
			_, err := s.client.within(made, one.file.who, putfh(at.handle), writeOp(*one, one.file.current(), nfsv4.FILE_SYNC4))
			if isSession(err) {
				return err
			}
			if err != nil {
				one.file.becomes(one.file.current(), errno(err))
			}
			s.mu.Lock()
			at.dirty, at.unsaved = at.dirty[1:], at.unsaved-len(one.data)
			s.mu.Unlock()
		}
	}
	return nil
}

func (s *state) oldest(at *node) *chunk {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(at.dirty) == 0 {
		return nil
	}
	one := at.dirty[0]
	return &one
}

func writeOp(one chunk, stateid nfsv4.Stateid4, how nfsv4.StableHow4) op {
	return &nfsv4.NfsArgop4_OP_WRITE{Opwrite: nfsv4.Write4args{
		Stateid: stateid, Offset: one.offset, Stable: how, Data: one.data,
	}}
}
