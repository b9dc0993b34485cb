package main

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/buildbarn/go-xdr/pkg/protocols/nfsv4"
	"github.com/hanwen/go-fuse/v2/fuse"
)

// files answers the system's questions about files with the server's answers. Nothing is remembered of
// names and attributes, so each walk of a path asks the server.
type files struct {
	fuse.RawFileSystem
	client *client
	soft   time.Duration // after which a question fails; 0: never

	mu      sync.Mutex
	nodes   map[uint64]*node
	byFile  map[string]*node
	opened  map[uint64]*openFile
	folders map[uint64]*folder
	next    uint64
	silly   map[*node]sillyName
}

// folder is an open folder with its entries, which are read anew when they are asked for again.
type folder struct {
	mu      sync.Mutex
	entries []fuse.DirEntry
	isTold  bool
}

// sillyName is where a file lies that was removed while it was open here.
type sillyName struct {
	parent *node
	name   string
	who    creds
}

func newFiles(client *client, root []byte, soft time.Duration) *files {
	top := &node{id: fuse.FUSE_ROOT_ID, handle: root, lookups: 1}
	return &files{
		RawFileSystem: fuse.NewDefaultRawFileSystem(), client: client, soft: soft, next: top.id,
		nodes: map[uint64]*node{top.id: top}, byFile: map[string]*node{string(root): top},
		opened: map[uint64]*openFile{}, folders: map[uint64]*folder{}, silly: map[*node]sillyName{},
	}
}

func (f *files) String() string { return "nfs4" }

// asking returns who asks, and a context that ends when they are killed: a hard mount waits for its
// server whatever else happens.
func (f *files) asking(cancel <-chan struct{}, header *fuse.InHeader) (context.Context, func(), creds) {
	patience := f.soft
	if patience == 0 {
		patience = time.Duration(math.MaxInt64)
	}
	ctx, stop := context.WithTimeout(f.client.ctx, patience)
	go func() {
		select {
		case <-ctx.Done():
			return
		case <-cancel:
		}
		for !isKilled(header.Pid) {
			if pause(ctx, 100*time.Millisecond) != nil {
				return
			}
		}
		stop()
	}()
	return ctx, stop, creds{uid: header.Uid, gid: header.Gid, gids: groupsOf(header.Pid, header.Uid)}
}

func field(pid uint32, name string) string {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return ""
	}
	_, rest, _ := strings.Cut(string(text), "\n"+name+":")
	line, _, _ := strings.Cut(rest, "\n")
	return strings.TrimSpace(line)
}

// isKilled tells whether a thread is to end: the system then has SIGKILL pending for it.
func isKilled(pid uint32) bool {
	pending := field(pid, "SigPnd")
	mask, err := strconv.ParseUint(pending, 16, 64)
	return err != nil || mask&(1<<(syscall.SIGKILL-1)) != 0
}

func groupsOf(pid, uid uint32) []uint32 {
	if uid == 0 {
		return nil
	}
	var found []uint32
	for _, word := range strings.Fields(field(pid, "Groups")) {
		if number, err := strconv.ParseUint(word, 10, 32); err == nil && len(found) < 16 {
			found = append(found, uint32(number))
		}
	}
	return found
}

func (f *files) node(id uint64) *node {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.nodes[id]
}

func (f *files) file(handle uint64) *openFile {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.opened[handle]
}

// known returns the node of a handle that the system is about to hear of.
func (f *files) known(handle []byte) *node {
	f.mu.Lock()
	defer f.mu.Unlock()
	found := f.byFile[string(handle)]
	if found == nil {
		f.next++
		found = &node{id: f.next, handle: handle}
		f.nodes[found.id], f.byFile[string(handle)] = found, found
	}
	found.lookups++
	return found
}

func (f *files) Forget(id, lookups uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	found := f.nodes[id]
	if found == nil || id == fuse.FUSE_ROOT_ID {
		return
	}
	if found.lookups -= min(lookups, found.lookups); found.lookups == 0 {
		delete(f.nodes, id)
		delete(f.byFile, string(found.handle))
	}
}

func (f *files) keep(file *openFile) uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.next++
	f.opened[f.next] = file
	return f.next
}

func status(err error) fuse.Status {
	if err != nil {
		return fuse.Status(errno(err))
	}
	return fuse.OK
}

func getattr(mask []uint32) op {
	return &nfsv4.NfsArgop4_OP_GETATTR{Opgetattr: nfsv4.Getattr4args{AttrRequest: mask}}
}

func attrsOf(answer nfsv4.NfsResop4) (attrs, error) {
	return parseAttrs(answer.(*nfsv4.NfsResop4_OP_GETATTR).Opgetattr.(*nfsv4.Getattr4res_NFS4_OK).Resok4.ObjAttributes)
}

// entry tells the system of the file that the last two of *answer*, handle and attributes, are of.
func (f *files) entry(answer []nfsv4.NfsResop4, out *fuse.EntryOut) (*node, error) {
	handle := answer[len(answer)-2].(*nfsv4.NfsResop4_OP_GETFH).Opgetfh.(*nfsv4.Getfh4res_NFS4_OK).Resok4.Object
	found, err := attrsOf(answer[len(answer)-1])
	if err != nil {
		return nil, err
	}
	made := f.known(handle)
	found.fill(&out.Attr)
	out.NodeId = made.id
	return made, nil
}

func both(ops ...op) []op {
	return append(ops, &nfsv4.NfsArgop4_OP_GETFH{}, getattr(fileAttrs))
}

func (f *files) Lookup(cancel <-chan struct{}, header *fuse.InHeader, name string, out *fuse.EntryOut) fuse.Status {
	ctx, done, who := f.asking(cancel, header)
	defer done()
	_, err := f.lookup(ctx, who, f.node(header.NodeId), name, out)
	return status(err)
}

func (f *files) lookup(ctx context.Context, who creds, parent *node, name string, out *fuse.EntryOut) (*node, error) {
	answer, err := f.client.run(ctx, who, func() []op {
		return both(putfh(parent.handle), lookupOp(name))
	}, nil)
	if err != nil {
		return nil, err
	}
	return f.entry(answer, out)
}

func lookupOp(name string) op {
	return &nfsv4.NfsArgop4_OP_LOOKUP{Oplookup: nfsv4.Lookup4args{Objname: name}}
}

func (f *files) GetAttr(cancel <-chan struct{}, input *fuse.GetAttrIn, out *fuse.AttrOut) fuse.Status {
	ctx, done, who := f.asking(cancel, &input.InHeader)
	defer done()
	return status(f.attributes(ctx, who, f.node(input.NodeId), out))
}

func (f *files) attributes(ctx context.Context, who creds, at *node, out *fuse.AttrOut) error {
	answer, err := f.client.run(ctx, who, func() []op { return []op{putfh(at.handle), getattr(fileAttrs)} }, nil)
	if err != nil {
		return err
	}
	found, err := attrsOf(answer[1])
	found.fill(&out.Attr)
	return err
}

func (f *files) SetAttr(cancel <-chan struct{}, input *fuse.SetAttrIn, out *fuse.AttrOut) fuse.Status {
	ctx, done, who := f.asking(cancel, &input.InHeader)
	defer done()
	var wanted wished
	if size, ok := input.GetSize(); ok {
		wanted.number64(nfsv4.FATTR4_SIZE, size)
	}
	if mode, ok := input.GetMode(); ok {
		wanted.number32(nfsv4.FATTR4_MODE, mode)
	}
	if uid, ok := input.GetUID(); ok {
		wanted.id(nfsv4.FATTR4_OWNER, uid)
	}
	if gid, ok := input.GetGID(); ok {
		wanted.id(nfsv4.FATTR4_OWNER_GROUP, gid)
	}
	if at, ok := input.GetATime(); ok {
		wanted.moment(nfsv4.FATTR4_TIME_ACCESS_SET, given(at, input.Valid&fuse.FATTR_ATIME_NOW))
	}
	if at, ok := input.GetMTime(); ok {
		wanted.moment(nfsv4.FATTR4_TIME_MODIFY_SET, given(at, input.Valid&fuse.FATTR_MTIME_NOW))
	}
	at := f.node(input.NodeId)
	if len(wanted.mask) > 0 {
		if err := f.setAttributes(ctx, who, at, input, wanted.fattr()); err != nil {
			return status(err)
		}
	}
	return status(f.attributes(ctx, who, at, out))
}

func given(at time.Time, now uint32) *time.Time {
	if now != 0 {
		return nil
	}
	return &at
}

func (f *files) setAttributes(ctx context.Context, who creds, at *node, input *fuse.SetAttrIn, wanted nfsv4.Fattr4) error {
	set := func(stateid nfsv4.Stateid4) []op {
		return []op{&nfsv4.NfsArgop4_OP_SETATTR{Opsetattr: nfsv4.Setattr4args{Stateid: stateid, ObjAttributes: wanted}}}
	}
	_, sized := input.GetSize()
	if handle, ok := input.GetFh(); ok && sized {
		if file := f.file(handle); file != nil {
			at.writing.Lock()
			defer at.writing.Unlock()
			// What was written before must not be written again after the cut.
			if err := f.client.state.save(ctx, file); err != nil {
				return err
			}
			_, err := f.client.state.with(ctx, file, set)
			return err
		}
	}
	_, err := f.client.run(ctx, who, func() []op { return append([]op{putfh(at.handle)}, set(nfsv4.Stateid4{})...) }, nil)
	return err
}

func (f *files) create(cancel <-chan struct{}, header *fuse.InHeader, kind nfsv4.Createtype4, name string, wanted nfsv4.Fattr4, out *fuse.EntryOut) fuse.Status {
	ctx, done, who := f.asking(cancel, header)
	defer done()
	parent := f.node(header.NodeId)
	answer, err := f.client.run(ctx, who, func() []op {
		return both(putfh(parent.handle), &nfsv4.NfsArgop4_OP_CREATE{Opcreate: nfsv4.Create4args{
			Objtype: kind, Objname: name, Createattrs: wanted,
		}})
	}, nil)
	if err == nil {
		_, err = f.entry(answer, out)
	}
	return status(err)
}

func (f *files) Mkdir(cancel <-chan struct{}, input *fuse.MkdirIn, name string, out *fuse.EntryOut) fuse.Status {
	return f.create(cancel, &input.InHeader, &nfsv4.Createtype4_NF4DIR{}, name, mode(input.Mode), out)
}

func (f *files) Symlink(cancel <-chan struct{}, header *fuse.InHeader, target string, name string, out *fuse.EntryOut) fuse.Status {
	kind := &nfsv4.Createtype4_NF4LNK{Linkdata: []byte(target)}
	return f.create(cancel, header, kind, name, mode(0o777), out)
}

func (f *files) Mknod(cancel <-chan struct{}, input *fuse.MknodIn, name string, out *fuse.EntryOut) fuse.Status {
	device := nfsv4.Specdata4{Specdata1: input.Rdev >> 8, Specdata2: input.Rdev & 0xff}
	var kind nfsv4.Createtype4
	switch input.Mode & syscall.S_IFMT {
	case syscall.S_IFIFO:
		kind = &nfsv4.Createtype4_NF4FIFO{}
	case syscall.S_IFSOCK:
		kind = &nfsv4.Createtype4_NF4SOCK{}
	case syscall.S_IFCHR:
		kind = &nfsv4.Createtype4_NF4CHR{Devdata: device}
	case syscall.S_IFBLK:
		kind = &nfsv4.Createtype4_NF4BLK{Devdata: device}
	default:
		var made fuse.CreateOut
		flags := uint32(syscall.O_CREAT | syscall.O_EXCL | syscall.O_WRONLY)
		found := f.Create(cancel, &fuse.CreateIn{InHeader: input.InHeader, Flags: flags, Mode: input.Mode}, name, &made)
		if found.Ok() {
			f.Release(cancel, &fuse.ReleaseIn{InHeader: input.InHeader, Fh: made.Fh})
			*out = made.EntryOut
		}
		return found
	}
	return f.create(cancel, &input.InHeader, kind, name, mode(input.Mode), out)
}

func (f *files) Link(cancel <-chan struct{}, input *fuse.LinkIn, name string, out *fuse.EntryOut) fuse.Status {
	ctx, done, who := f.asking(cancel, &input.InHeader)
	defer done()
	from, to := f.node(input.Oldnodeid), f.node(input.NodeId)
	_, err := f.client.run(ctx, who, func() []op {
		return []op{putfh(from.handle), &nfsv4.NfsArgop4_OP_SAVEFH{}, putfh(to.handle),
			&nfsv4.NfsArgop4_OP_LINK{Oplink: nfsv4.Link4args{Newname: name}}}
	}, nil)
	if err == nil {
		_, err = f.lookup(ctx, who, to, name, out)
	}
	return status(err)
}

func (f *files) Unlink(cancel <-chan struct{}, header *fuse.InHeader, name string) fuse.Status {
	ctx, done, who := f.asking(cancel, header)
	defer done()
	parent := f.node(header.NodeId)
	if hidden, err := f.hide(ctx, who, parent, name); hidden || err != nil {
		return status(err)
	}
	return status(f.remove(ctx, who, parent, name))
}

func (f *files) Rmdir(cancel <-chan struct{}, header *fuse.InHeader, name string) fuse.Status {
	ctx, done, who := f.asking(cancel, header)
	defer done()
	return status(f.remove(ctx, who, f.node(header.NodeId), name))
}

func (f *files) remove(ctx context.Context, who creds, parent *node, name string) error {
	_, err := f.client.run(ctx, who, func() []op {
		return []op{putfh(parent.handle), &nfsv4.NfsArgop4_OP_REMOVE{Opremove: nfsv4.Remove4args{Target: name}}}
	}, nil)
	return err
}

// hide renames a file that is open here instead of removing it, as the kernel's client does: the
// server would forget it when it starts anew.
func (f *files) hide(ctx context.Context, who creds, parent *node, name string) (bool, error) {
	f.mu.Lock()
	none := len(f.opened) == 0
	f.mu.Unlock()
	if none {
		return false, nil
	}
	answer, err := f.client.run(ctx, who, func() []op {
		return []op{putfh(parent.handle), lookupOp(name), &nfsv4.NfsArgop4_OP_GETFH{}}
	}, nil)
	if err != nil {
		return false, nil // it is not there, or not ours to see: let the server say so
	}
	handle := answer[2].(*nfsv4.NfsResop4_OP_GETFH).Opgetfh.(*nfsv4.Getfh4res_NFS4_OK).Resok4.Object
	f.mu.Lock()
	found := f.byFile[string(handle)]
	_, gone := f.silly[found]
	isOpen := false
	for _, file := range f.opened {
		isOpen = isOpen || file.node == found
	}
	f.next++
	hidden := fmt.Sprintf(".nfs%016x%08x", found.idOr(0), f.next)
	f.mu.Unlock()
	if found == nil || !isOpen || gone {
		return false, nil
	}
	if err := f.rename(ctx, who, parent, name, parent, hidden); err != nil {
		return false, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.silly[found] = sillyName{parent: parent, name: hidden, who: who}
	return true, nil
}

func (n *node) idOr(other uint64) uint64 {
	if n == nil {
		return other
	}
	return n.id
}

func (f *files) Rename(cancel <-chan struct{}, input *fuse.RenameIn, oldName string, newName string) fuse.Status {
	if input.Flags != 0 {
		return fuse.EINVAL
	}
	ctx, done, who := f.asking(cancel, &input.InHeader)
	defer done()
	to := f.node(input.Newdir)
	if _, err := f.hide(ctx, who, to, newName); err != nil {
		return status(err)
	}
	return status(f.rename(ctx, who, f.node(input.NodeId), oldName, to, newName))
}

func (f *files) rename(ctx context.Context, who creds, from *node, oldName string, to *node, newName string) error {
	_, err := f.client.run(ctx, who, func() []op {
		return []op{putfh(from.handle), &nfsv4.NfsArgop4_OP_SAVEFH{}, putfh(to.handle),
			&nfsv4.NfsArgop4_OP_RENAME{Oprename: nfsv4.Rename4args{Oldname: oldName, Newname: newName}}}
	}, nil)
	return err
}

func (f *files) Readlink(cancel <-chan struct{}, header *fuse.InHeader) ([]byte, fuse.Status) {
	ctx, done, who := f.asking(cancel, header)
	defer done()
	at := f.node(header.NodeId)
	answer, err := f.client.run(ctx, who, func() []op { return []op{putfh(at.handle), &nfsv4.NfsArgop4_OP_READLINK{}} }, nil)
	if err != nil {
		return nil, status(err)
	}
	return answer[1].(*nfsv4.NfsResop4_OP_READLINK).Opreadlink.(*nfsv4.Readlink4res_NFS4_OK).Resok4.Link, fuse.OK
}

// Access asks the server: with its rules, root's rights may end at its door.
func (f *files) Access(cancel <-chan struct{}, input *fuse.AccessIn) fuse.Status {
	ctx, done, who := f.asking(cancel, &input.InHeader)
	defer done()
	at := f.node(input.NodeId)
	answer, err := f.client.run(ctx, who, func() []op {
		return []op{putfh(at.handle), getattr(bitmap(nfsv4.FATTR4_TYPE)), &nfsv4.NfsArgop4_OP_ACCESS{Opaccess: nfsv4.Access4args{Access: 0x3f}}}
	}, nil)
	if err != nil {
		return status(err)
	}
	found, err := attrsOf(answer[1])
	if err != nil {
		return status(err)
	}
	allowed := answer[2].(*nfsv4.NfsResop4_OP_ACCESS).Opaccess.(*nfsv4.Access4res_NFS4_OK).Resok4.Access
	needed := accessOf(input.Mask, nfsv4.NfsFtype4(found.number[nfsv4.FATTR4_TYPE]) == nfsv4.NF4DIR)
	if allowed&needed != needed {
		return fuse.EACCES
	}
	return fuse.OK
}

func accessOf(mask uint32, folder bool) uint32 {
	var needed uint32
	if mask&fuse.R_OK != 0 {
		needed |= nfsv4.ACCESS4_READ
	}
	if mask&fuse.W_OK != 0 {
		needed |= nfsv4.ACCESS4_MODIFY | nfsv4.ACCESS4_EXTEND
		if folder {
			needed |= nfsv4.ACCESS4_DELETE
		}
	}
	if mask&fuse.X_OK != 0 {
		if folder {
			return needed | nfsv4.ACCESS4_LOOKUP
		}
		needed |= nfsv4.ACCESS4_EXECUTE
	}
	return needed
}

func share(flags uint32) uint32 {
	switch flags & syscall.O_ACCMODE {
	case syscall.O_WRONLY:
		return nfsv4.OPEN4_SHARE_ACCESS_WRITE
	case syscall.O_RDWR:
		return nfsv4.OPEN4_SHARE_ACCESS_BOTH
	}
	return nfsv4.OPEN4_SHARE_ACCESS_READ
}

// opening tells the system how to treat an open file: what is appended goes to where the server says
// the end is, so the system must not keep pages of it.
func (f *files) opening(file *openFile, flags uint32, out *fuse.OpenOut) {
	file.appends = flags&syscall.O_APPEND != 0
	if file.appends {
		out.OpenFlags |= fuse.FOPEN_DIRECT_IO
	}
	out.Fh = f.keep(file)
}

func (f *files) Create(cancel <-chan struct{}, input *fuse.CreateIn, name string, out *fuse.CreateOut) fuse.Status {
	ctx, done, who := f.asking(cancel, &input.InHeader)
	defer done()
	parent := f.node(input.NodeId)
	var wanted wished
	if input.Flags&syscall.O_TRUNC != 0 {
		wanted.number64(nfsv4.FATTR4_SIZE, 0)
	}
	wanted.number32(nfsv4.FATTR4_MODE, input.Mode&0o7777)
	var how nfsv4.Createhow4 = &nfsv4.Createhow4_UNCHECKED4{Createattrs: wanted.fattr()}
	if input.Flags&syscall.O_EXCL != 0 {
		how = &nfsv4.Createhow4_GUARDED4{Createattrs: wanted.fattr()}
	}
	state := f.client.state
	file := state.newFile(nil, share(input.Flags), who)
	answer, err := f.client.run(ctx, who, func() []op {
		return both(putfh(parent.handle),
			state.openOp(file, &nfsv4.Openflag4_OPEN4_CREATE{How: how}, &nfsv4.OpenClaim4_CLAIM_NULL{File: name}))
	}, func(late []nfsv4.NfsResop4) {
		if file.node, _ = f.entry(late, &fuse.EntryOut{}); file.node != nil {
			state.add(file, late[1])
			state.close(f.client.ctx, file)
			f.Forget(file.node.id, 1)
		}
	})
	if err != nil {
		return status(err)
	}
	if file.node, err = f.entry(answer, &out.EntryOut); err != nil {
		return status(err)
	}
	state.add(file, answer[1])
	f.opening(file, input.Flags, &out.OpenOut)
	return fuse.OK
}

func (f *files) Open(cancel <-chan struct{}, input *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	ctx, done, who := f.asking(cancel, &input.InHeader)
	defer done()
	file, err := f.client.state.open(ctx, f.node(input.NodeId), share(input.Flags), who)
	if err != nil {
		return status(err)
	}
	f.opening(file, input.Flags, out)
	return fuse.OK
}

func (f *files) Read(cancel <-chan struct{}, input *fuse.ReadIn, buffer []byte) (fuse.ReadResult, fuse.Status) {
	ctx, done, _ := f.asking(cancel, &input.InHeader)
	defer done()
	count, err := f.client.state.read(ctx, f.file(input.Fh), input.Offset, buffer)
	if err != nil {
		return nil, status(err)
	}
	return fuse.ReadResultData(buffer[:count]), fuse.OK
}

func (f *files) Write(cancel <-chan struct{}, input *fuse.WriteIn, data []byte) (uint32, fuse.Status) {
	ctx, done, _ := f.asking(cancel, &input.InHeader)
	defer done()
	count, err := f.client.state.write(ctx, f.file(input.Fh), input.Offset, data)
	if count > 0 {
		return uint32(count), fuse.OK
	}
	return 0, status(err)
}

func (f *files) Fsync(cancel <-chan struct{}, input *fuse.FsyncIn) fuse.Status {
	ctx, done, _ := f.asking(cancel, &input.InHeader)
	defer done()
	return status(f.client.state.commit(ctx, f.file(input.Fh)))
}

func (f *files) FsyncDir(<-chan struct{}, *fuse.FsyncIn) fuse.Status { return fuse.OK }

// Flush is called at each close of a descriptor: what was written is safe then, or the program hears.
func (f *files) Flush(cancel <-chan struct{}, input *fuse.FlushIn) fuse.Status {
	ctx, done, _ := f.asking(cancel, &input.InHeader)
	defer done()
	file, state := f.file(input.Fh), f.client.state
	err := state.commit(ctx, file)
	state.unlock(ctx, file.node, lockKey{owner: input.LockOwner}, everything)
	return status(err)
}

func (f *files) Release(cancel <-chan struct{}, input *fuse.ReleaseIn) {
	f.mu.Lock()
	file := f.opened[input.Fh]
	delete(f.opened, input.Fh)
	f.mu.Unlock()
	ctx, state := f.client.ctx, f.client.state
	state.commit(ctx, file)
	state.unlockAll(ctx, file)
	state.close(ctx, file)

	f.mu.Lock()
	hidden, isHidden := f.silly[file.node]
	for _, other := range f.opened {
		isHidden = isHidden && other.node != file.node
	}
	if isHidden {
		delete(f.silly, file.node)
	}
	f.mu.Unlock()
	if isHidden {
		f.remove(ctx, hidden.who, hidden.parent, hidden.name)
	}
}

func (f *files) GetLk(cancel <-chan struct{}, input *fuse.LkIn, out *fuse.LkOut) fuse.Status {
	ctx, done, _ := f.asking(cancel, &input.InHeader)
	defer done()
	out.Lk = fuse.FileLock{Typ: syscall.F_UNLCK}
	found, err := f.client.state.holder(ctx, f.file(input.Fh), keyOf(input), spanOf(input))
	if found != nil {
		out.Lk = fuse.FileLock{Start: found.start, End: found.end, Typ: syscall.F_RDLCK}
		if found.exclusive {
			out.Lk.Typ = syscall.F_WRLCK
		}
	}
	return status(err)
}

func keyOf(input *fuse.LkIn) lockKey {
	return lockKey{owner: input.Owner, flock: input.LkFlags&fuse.FUSE_LK_FLOCK != 0}
}

func spanOf(input *fuse.LkIn) span {
	return span{start: input.Lk.Start, end: input.Lk.End, exclusive: input.Lk.Typ == syscall.F_WRLCK}
}

func (f *files) SetLk(cancel <-chan struct{}, input *fuse.LkIn) fuse.Status {
	ctx, done, _ := f.asking(cancel, &input.InHeader)
	defer done()
	file, state := f.file(input.Fh), f.client.state
	if input.Lk.Typ == syscall.F_UNLCK {
		return status(state.unlock(ctx, file.node, keyOf(input), spanOf(input)))
	}
	return status(state.lock(ctx, file, keyOf(input), spanOf(input)))
}

func (f *files) SetLkw(cancel <-chan struct{}, input *fuse.LkIn) fuse.Status {
	// A program may be called away from waiting for a lock by any signal.
	ctx, stop := context.WithCancel(f.client.ctx)
	defer stop()
	go func() {
		select {
		case <-cancel:
			stop()
		case <-ctx.Done():
		}
	}()
	return status(f.client.state.lockWait(ctx, f.file(input.Fh), keyOf(input), spanOf(input)))
}

func (f *files) OpenDir(cancel <-chan struct{}, input *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	ctx, done, who := f.asking(cancel, &input.InHeader)
	defer done()
	entries, err := f.list(ctx, who, f.node(input.NodeId))
	if err != nil {
		return status(err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.next++
	f.folders[f.next] = &folder{entries: entries}
	out.Fh = f.next
	return fuse.OK
}

func (f *files) ReleaseDir(input *fuse.ReleaseIn) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.folders, input.Fh)
}

func (f *files) ReadDir(cancel <-chan struct{}, input *fuse.ReadIn, out *fuse.DirEntryList) fuse.Status {
	ctx, done, who := f.asking(cancel, &input.InHeader)
	defer done()
	f.mu.Lock()
	found := f.folders[input.Fh]
	f.mu.Unlock()
	found.mu.Lock()
	defer found.mu.Unlock()
	if input.Offset == 0 && found.isTold {
		entries, err := f.list(ctx, who, f.node(input.NodeId))
		if err != nil {
			return status(err)
		}
		found.entries = entries
	}
	found.isTold = true
	for index := int(input.Offset); index < len(found.entries); index++ {
		one := found.entries[index]
		one.Off = uint64(index) + 1
		if !out.AddDirEntry(one) {
			break
		}
	}
	return fuse.OK
}

func (f *files) list(ctx context.Context, who creds, at *node) ([]fuse.DirEntry, error) {
	found := []fuse.DirEntry{{Name: ".", Mode: syscall.S_IFDIR}, {Name: "..", Mode: syscall.S_IFDIR}}
	var cookie uint64
	var verifier [8]byte
	for {
		answer, err := f.client.run(ctx, who, func() []op {
			return []op{putfh(at.handle), &nfsv4.NfsArgop4_OP_READDIR{Opreaddir: nfsv4.Readdir4args{
				Cookie: cookie, Cookieverf: verifier, Dircount: 32 << 10, Maxcount: 128 << 10, AttrRequest: entryAttrs,
			}}}
		}, nil)
		if err != nil {
			return nil, err
		}
		page := answer[1].(*nfsv4.NfsResop4_OP_READDIR).Opreaddir.(*nfsv4.Readdir4res_NFS4_OK).Resok4
		verifier = page.Cookieverf
		for one := page.Reply.Entries; one != nil; one = one.Nextentry {
			known, err := parseAttrs(one.Attrs)
			if err != nil {
				return nil, err
			}
			found = append(found, fuse.DirEntry{
				Name: one.Name, Ino: known.number[nfsv4.FATTR4_FILEID], Mode: fileType(known.number[nfsv4.FATTR4_TYPE]),
			})
			cookie = one.Cookie
		}
		if page.Reply.Eof {
			return found, nil
		}
	}
}

func (f *files) StatFs(cancel <-chan struct{}, header *fuse.InHeader, out *fuse.StatfsOut) fuse.Status {
	ctx, done, who := f.asking(cancel, header)
	defer done()
	at := f.node(header.NodeId)
	answer, err := f.client.run(ctx, who, func() []op { return []op{putfh(at.handle), getattr(spaceAttrs)} }, nil)
	if err != nil {
		return status(err)
	}
	found, err := attrsOf(answer[1])
	out.Bsize, out.Frsize, out.NameLen = 4096, 4096, 255
	out.Blocks = found.number[nfsv4.FATTR4_SPACE_TOTAL] / 4096
	out.Bfree = found.number[nfsv4.FATTR4_SPACE_FREE] / 4096
	out.Bavail = found.number[nfsv4.FATTR4_SPACE_AVAIL] / 4096
	out.Files, out.Ffree = found.number[nfsv4.FATTR4_FILES_TOTAL], found.number[nfsv4.FATTR4_FILES_FREE]
	return status(err)
}

// find returns the handle of a path of the server.
func (c *client) find(ctx context.Context, path string) ([]byte, error) {
	answer, err := c.run(ctx, creds{}, func() []op {
		ops := []op{&nfsv4.NfsArgop4_OP_PUTROOTFH{}}
		for _, name := range strings.FieldsFunc(path, func(r rune) bool { return r == '/' }) {
			ops = append(ops, lookupOp(name))
		}
		return append(ops, &nfsv4.NfsArgop4_OP_GETFH{}, getattr(leaseAttrs))
	}, nil)
	if err != nil {
		return nil, err
	}
	found, err := attrsOf(answer[len(answer)-1])
	if err != nil {
		return nil, err
	}
	c.lease = max(time.Duration(found.number[nfsv4.FATTR4_LEASE_TIME])*time.Second, time.Second)
	handle := answer[len(answer)-2].(*nfsv4.NfsResop4_OP_GETFH).Opgetfh.(*nfsv4.Getfh4res_NFS4_OK).Resok4.Object
	return bytes.Clone(handle), nil
}
