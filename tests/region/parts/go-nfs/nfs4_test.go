package main

import (
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/buildbarn/go-xdr/pkg/protocols/nfsv4"
	"github.com/hanwen/go-fuse/v2/fuse"
)

func TestConnectsAgainAsTheKernelDoes(t *testing.T) {
	var waits []time.Duration
	for failed := range int32(5) {
		waits = append(waits, redial(failed+1, 20*time.Second)/time.Second)
	}
	if !slices.Equal(waits, []time.Duration{3, 6, 10, 10, 10}) {
		t.Errorf("waits %v s", waits)
	}
}

func TestUnlocksTheMiddleOfWhatIsHeld(t *testing.T) {
	left := without([]span{{0, 9, true}, {20, 29, false}}, span{start: 5, end: 20})
	if !slices.Equal(left, []span{{0, 4, true}, {21, 29, false}}) {
		t.Errorf("left is %v", left)
	}
}

func TestReadsTheAttributesThatItSets(t *testing.T) {
	var wanted wished
	wanted.number64(nfsv4.FATTR4_SIZE, 1<<40)
	wanted.number32(nfsv4.FATTR4_MODE, 0o640)
	wanted.id(nfsv4.FATTR4_OWNER, 1000)

	found, err := parseAttrs(wanted.fattr())
	var out fuse.Attr
	found.fill(&out)

	if err != nil || out.Size != 1<<40 || out.Mode&0o7777 != 0o640 || out.Uid != 1000 {
		t.Errorf("read %+v, %v", out, err)
	}
}

func TestKnowsOwnersByNumberAndByName(t *testing.T) {
	for owner, wanted := range map[string]uint32{"1234": 1234, "root@localdomain": 0, "no-one-here@x": nobody} {
		if found := idOf(owner, false); found != wanted {
			t.Errorf("%s is %d", owner, found)
		}
	}
}

func TestTellsProgramsTheSystemsErrors(t *testing.T) {
	for refused, wanted := range map[nfsv4.Nfsstat4]syscall.Errno{
		nfsv4.NFS4ERR_NOSPC: syscall.ENOSPC, nfsv4.NFS4ERR_STALE: syscall.ESTALE,
		nfsv4.NFS4ERR_NOTEMPTY: syscall.ENOTEMPTY, nfsv4.NFS4ERR_SERVERFAULT: syscall.EIO,
	} {
		if found := errno(nfsError(refused)); found != wanted {
			t.Errorf("%v is told as %v", nfsError(refused), found)
		}
	}
}
