package main

import (
	"context"
	"fmt"
	"math"
	"syscall"
	"time"

	"github.com/buildbarn/go-xdr/pkg/protocols/nfsv4"
)

// lockKey tells owners apart as the system does: fcntl by process, flock by open file.
type lockKey struct {
	owner uint64
	flock bool
}

// lockState is what one owner holds of one file.
type lockState struct {
	file    *openFile
	stateid nfsv4.Stateid4
	held    []span
}

// span is a locked range, both ends included.
type span struct {
	start, end uint64
	exclusive  bool
}

func (s span) kind() nfsv4.NfsLockType4 {
	if s.exclusive {
		return nfsv4.WRITE_LT
	}
	return nfsv4.READ_LT
}

func (s span) length() uint64 {
	if s.end >= math.MaxInt64 {
		return math.MaxUint64
	}
	return s.end - s.start + 1
}

// without returns what is left of *held* when *gone* is unlocked.
func without(held []span, gone span) []span {
	var left []span
	for _, one := range held {
		if one.end < gone.start || one.start > gone.end {
			left = append(left, one)
			continue
		}
		if one.start < gone.start {
			left = append(left, span{one.start, gone.start - 1, one.exclusive})
		}
		if one.end > gone.end {
			left = append(left, span{gone.end + 1, one.end, one.exclusive})
		}
	}
	return left
}

var everything = span{end: math.MaxInt64}

func (s *state) lockOwner(key lockKey) nfsv4.StateOwner4 {
	return nfsv4.StateOwner4{
		Clientid: s.client.clientid, Owner: fmt.Appendf(nil, "lock %d %t", key.owner, key.flock),
	}
}

func (s *state) lockOp(key lockKey, known *lockState, file *openFile, wanted span, reclaim bool) op {
	var locker nfsv4.Locker4 = &nfsv4.Locker4_TRUE{OpenOwner: nfsv4.OpenToLockOwner4{
		OpenStateid: file.current(), LockOwner: s.lockOwner(key),
	}}
	if known != nil {
		locker = &nfsv4.Locker4_FALSE{LockOwner: nfsv4.ExistLockOwner4{LockStateid: known.stateid}}
	}
	return &nfsv4.NfsArgop4_OP_LOCK{Oplock: nfsv4.Lock4args{
		Locktype: wanted.kind(), Reclaim: reclaim, Offset: wanted.start, Length: wanted.length(), Locker: locker,
	}}
}

func lockStateid(answer nfsv4.NfsResop4) nfsv4.Stateid4 {
	return answer.(*nfsv4.NfsResop4_OP_LOCK).Oplock.(*nfsv4.Lock4res_NFS4_OK).Resok4.LockStateid
}

// lock takes a lock or says at once that somebody else has it.
func (s *state) lock(ctx context.Context, file *openFile, key lockKey, wanted span) error {
	at := file.node
	at.locking.Lock()
	defer at.locking.Unlock()
	answer, err := s.with(ctx, file, func(nfsv4.Stateid4) []op {
		return []op{s.lockOp(key, s.known(at, key), file, wanted, false)}
	})
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	known := at.locks[key]
	if known == nil {
		known = &lockState{file: file}
		if at.locks == nil {
			at.locks = map[lockKey]*lockState{}
		}
		at.locks[key] = known
	}
	known.stateid = lockStateid(answer[1])
	known.held = append(without(known.held, wanted), wanted)
	return nil
}

// known returns a copy of what is known of an owner's locks.
func (s *state) known(at *node, key lockKey) *lockState {
	s.mu.Lock()
	defer s.mu.Unlock()
	found := at.locks[key]
	if found == nil {
		return nil
	}
	same := *found
	return &same
}

// keysOf returns whose locks were taken through *file*.
func (s *state) keysOf(file *openFile) []lockKey {
	s.mu.Lock()
	defer s.mu.Unlock()
	var keys []lockKey
	for key, known := range file.node.locks {
		if known.file == file {
			keys = append(keys, key)
		}
	}
	return keys
}

// lockWait takes a lock, asking again until it is free: the server calls nobody back.
func (s *state) lockWait(ctx context.Context, file *openFile, key lockKey, wanted span) error {
	for wait := pollFirst; ; wait = min(2*wait, time.Second) {
		err := s.lock(ctx, file, key, wanted)
		if err != error(nfsError(nfsv4.NFS4ERR_DENIED)) {
			return err
		}
		if err := pause(ctx, wait); err != nil {
			return err
		}
	}
}

func (s *state) unlock(ctx context.Context, at *node, key lockKey, gone span) error {
	at.locking.Lock()
	defer at.locking.Unlock()
	known := s.known(at, key)
	if known == nil {
		return nil
	}
	answer, err := s.client.run(ctx, known.file.who, func() []op {
		return []op{putfh(at.handle), &nfsv4.NfsArgop4_OP_LOCKU{Oplocku: nfsv4.Locku4args{
			Locktype: nfsv4.WRITE_LT, LockStateid: s.known(at, key).stateid,
			Offset: gone.start, Length: gone.length(),
		}}}
	}, nil)
	if err != nil && !isForgotten(err) {
		return err
	}
	s.mu.Lock()
	left := at.locks[key]
	left.held = without(left.held, gone)
	if err == nil {
		left.stateid = answer[1].(*nfsv4.NfsResop4_OP_LOCKU).Oplocku.(*nfsv4.Locku4res_NFS4_OK).LockStateid
	}
	free := len(left.held) == 0
	if free {
		delete(at.locks, key)
	}
	s.mu.Unlock()
	if free && err == nil {
		s.client.run(ctx, known.file.who, func() []op {
			return []op{&nfsv4.NfsArgop4_OP_FREE_STATEID{OpfreeStateid: nfsv4.FreeStateid4args{FsaStateid: left.stateid}}}
		}, nil)
	}
	return nil
}

// unlockAll lets go of what was locked through a file that is being closed.
func (s *state) unlockAll(ctx context.Context, file *openFile) {
	for _, key := range s.keysOf(file) {
		s.unlock(ctx, file.node, key, everything)
	}
}

// holder returns who stands in the way of a lock, if anybody does.
func (s *state) holder(ctx context.Context, file *openFile, key lockKey, wanted span) (*span, error) {
	answer, err := s.with(ctx, file, func(nfsv4.Stateid4) []op {
		return []op{&nfsv4.NfsArgop4_OP_LOCKT{Oplockt: nfsv4.Lockt4args{
			Locktype: wanted.kind(), Offset: wanted.start, Length: wanted.length(), Owner: s.lockOwner(key),
		}}}
	})
	if err == nil {
		return nil, nil
	}
	if err != error(nfsError(nfsv4.NFS4ERR_DENIED)) {
		return nil, err
	}
	denied := answer[1].(*nfsv4.NfsResop4_OP_LOCKT).Oplockt.(*nfsv4.Lockt4res_NFS4ERR_DENIED).Denied
	found := span{start: denied.Offset, end: math.MaxInt64, exclusive: denied.Locktype == nfsv4.WRITE_LT}
	if denied.Length < math.MaxInt64 {
		found.end = denied.Offset + denied.Length - 1
	}
	return &found, nil
}

// relock takes back, within the server's grace period, what was locked through *file*.
func (s *state) relock(made *session, file *openFile) error {
	for _, key := range s.keysOf(file) {
		known := s.known(file.node, key)
		var taken *lockState
		for _, one := range known.held {
			answer, err := s.client.within(made, file.who, putfh(file.node.handle), s.lockOp(key, taken, file, one, true))
			if isSession(err) {
				return err
			}
			if err != nil {
				complain("server %s: a lock is lost: %v", s.client.address, err)
				file.becomes(file.current(), syscall.EIO)
				break
			}
			taken = &lockState{stateid: lockStateid(answer[1])}
		}
		if taken != nil {
			s.mu.Lock()
			file.node.locks[key].stateid = taken.stateid
			s.mu.Unlock()
		}
	}
	return nil
}

// forfeit returns what becomes of a file that could not be taken back in time: as with the kernel's
// client, whoever held a lock on it is told that it may have been somebody else's meanwhile.
func (s *state) forfeit(file *openFile) error {
	for _, key := range s.keysOf(file) {
		if len(s.known(file.node, key).held) > 0 {
			complain("server %s: a lock is lost", s.client.address)
			return syscall.EIO
		}
	}
	return nil
}
