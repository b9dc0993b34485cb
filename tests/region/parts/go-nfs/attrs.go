package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os/user"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/buildbarn/go-xdr/pkg/protocols/nfsv4"
	"github.com/buildbarn/go-xdr/pkg/runtime"
	"github.com/hanwen/go-fuse/v2/fuse"
)

const nobody = 65534

// Attributes are sent in the order of their numbers.
var (
	fileAttrs = bitmap(
		nfsv4.FATTR4_TYPE, nfsv4.FATTR4_SIZE, nfsv4.FATTR4_FILEID, nfsv4.FATTR4_MODE,
		nfsv4.FATTR4_NUMLINKS, nfsv4.FATTR4_OWNER, nfsv4.FATTR4_OWNER_GROUP, nfsv4.FATTR4_RAWDEV,
		nfsv4.FATTR4_SPACE_USED, nfsv4.FATTR4_TIME_ACCESS, nfsv4.FATTR4_TIME_METADATA, nfsv4.FATTR4_TIME_MODIFY,
	)
	entryAttrs = bitmap(nfsv4.FATTR4_TYPE, nfsv4.FATTR4_FILEID)
	leaseAttrs = bitmap(nfsv4.FATTR4_LEASE_TIME)
	spaceAttrs = bitmap(
		nfsv4.FATTR4_FILES_AVAIL, nfsv4.FATTR4_FILES_FREE, nfsv4.FATTR4_FILES_TOTAL,
		nfsv4.FATTR4_SPACE_AVAIL, nfsv4.FATTR4_SPACE_FREE, nfsv4.FATTR4_SPACE_TOTAL,
	)
)

func bitmap(bits ...int) []uint32 {
	var mask []uint32
	for _, bit := range bits {
		for len(mask) <= bit/32 {
			mask = append(mask, 0)
		}
		mask[bit/32] |= 1 << (bit % 32)
	}
	return mask
}

// attrs are those of the attributes that we ask for, by number: numbers, times, owners.
type attrs struct {
	number map[int]uint64
	text   map[int]string
	time   map[int]nfsv4.Nfstime4
}

func (a attrs) fill(out *fuse.Attr) {
	out.Ino = a.number[nfsv4.FATTR4_FILEID]
	out.Size = a.number[nfsv4.FATTR4_SIZE]
	out.Blocks = (a.number[nfsv4.FATTR4_SPACE_USED] + 511) / 512
	out.Blksize = maxData
	out.Mode = fileType(a.number[nfsv4.FATTR4_TYPE]) | uint32(a.number[nfsv4.FATTR4_MODE])
	out.Nlink = uint32(a.number[nfsv4.FATTR4_NUMLINKS])
	out.Rdev = uint32(a.number[nfsv4.FATTR4_RAWDEV])
	out.Uid = idOf(a.text[nfsv4.FATTR4_OWNER], false)
	out.Gid = idOf(a.text[nfsv4.FATTR4_OWNER_GROUP], true)
	read, meta, changed := a.time[nfsv4.FATTR4_TIME_ACCESS], a.time[nfsv4.FATTR4_TIME_METADATA], a.time[nfsv4.FATTR4_TIME_MODIFY]
	out.Atime, out.Atimensec = uint64(read.Seconds), read.Nseconds
	out.Ctime, out.Ctimensec = uint64(meta.Seconds), meta.Nseconds
	out.Mtime, out.Mtimensec = uint64(changed.Seconds), changed.Nseconds
}

func fileType(kind uint64) uint32 {
	switch nfsv4.NfsFtype4(kind) {
	case nfsv4.NF4DIR:
		return syscall.S_IFDIR
	case nfsv4.NF4LNK:
		return syscall.S_IFLNK
	case nfsv4.NF4BLK:
		return syscall.S_IFBLK
	case nfsv4.NF4CHR:
		return syscall.S_IFCHR
	case nfsv4.NF4FIFO:
		return syscall.S_IFIFO
	case nfsv4.NF4SOCK:
		return syscall.S_IFSOCK
	}
	return syscall.S_IFREG
}

func parseAttrs(from nfsv4.Fattr4) (attrs, error) {
	found := attrs{number: map[int]uint64{}, text: map[int]string{}, time: map[int]nfsv4.Nfstime4{}}
	reader := bytes.NewReader(from.AttrVals)
	for word, mask := range from.Attrmask {
		for bit := range 32 {
			if mask&(1<<bit) == 0 {
				continue
			}
			if err := found.read(reader, word*32+bit); err != nil {
				return found, err
			}
		}
	}
	return found, nil
}

func (a attrs) read(reader *bytes.Reader, number int) error {
	var err error
	switch number {
	case nfsv4.FATTR4_TYPE, nfsv4.FATTR4_MODE, nfsv4.FATTR4_NUMLINKS, nfsv4.FATTR4_LEASE_TIME:
		var value uint32
		value, _, err = runtime.ReadUnsignedInt(reader)
		a.number[number] = uint64(value)
	case nfsv4.FATTR4_OWNER, nfsv4.FATTR4_OWNER_GROUP:
		var value []byte
		value, _, err = runtime.ReadVariableLengthOpaque(reader, 1024)
		a.text[number] = string(value)
	case nfsv4.FATTR4_TIME_ACCESS, nfsv4.FATTR4_TIME_METADATA, nfsv4.FATTR4_TIME_MODIFY:
		var value nfsv4.Nfstime4
		_, err = value.ReadFrom(reader)
		a.time[number] = value
	case nfsv4.FATTR4_RAWDEV:
		var value nfsv4.Specdata4
		_, err = value.ReadFrom(reader)
		a.number[number] = uint64(value.Specdata1)<<8 | uint64(value.Specdata2)
	case nfsv4.FATTR4_SIZE, nfsv4.FATTR4_FILEID, nfsv4.FATTR4_SPACE_USED,
		nfsv4.FATTR4_FILES_AVAIL, nfsv4.FATTR4_FILES_FREE, nfsv4.FATTR4_FILES_TOTAL,
		nfsv4.FATTR4_SPACE_AVAIL, nfsv4.FATTR4_SPACE_FREE, nfsv4.FATTR4_SPACE_TOTAL:
		var value uint64
		value, _, err = runtime.ReadUnsignedHyper(reader)
		a.number[number] = value
	default:
		err = fmt.Errorf("attribute %d, which nobody asked for", number)
	}
	return err
}

// idOf reads an owner: a number, as clients and servers with AUTH_SYS send it, or user@domain.
func idOf(owner string, group bool) uint32 {
	if number, err := strconv.ParseUint(owner, 10, 32); err == nil {
		return uint32(number)
	}
	name, _, _ := strings.Cut(owner, "@")
	found := ""
	if group {
		if known, err := user.LookupGroup(name); err == nil {
			found = known.Gid
		}
	} else if known, err := user.Lookup(name); err == nil {
		found = known.Uid
	}
	if number, err := strconv.ParseUint(found, 10, 32); err == nil {
		return uint32(number)
	}
	return nobody
}

// wished are attributes to set; the zero value sets none.
type wished struct {
	mask   []int
	values bytes.Buffer
}

func (w *wished) number32(number int, value uint32) {
	w.mask = append(w.mask, number)
	w.values.Write(binary.BigEndian.AppendUint32(nil, value))
}

func (w *wished) number64(number int, value uint64) {
	w.mask = append(w.mask, number)
	w.values.Write(binary.BigEndian.AppendUint64(nil, value))
}

func (w *wished) id(number int, value uint32) {
	w.mask = append(w.mask, number)
	runtime.WriteVariableLengthOpaque(&w.values, 1024, []byte(strconv.FormatUint(uint64(value), 10)))
}

// moment sets a time; nil is the server's now.
func (w *wished) moment(number int, at *time.Time) {
	w.mask = append(w.mask, number)
	if at == nil {
		w.values.Write(binary.BigEndian.AppendUint32(nil, uint32(nfsv4.SET_TO_SERVER_TIME4)))
		return
	}
	w.values.Write(binary.BigEndian.AppendUint32(nil, uint32(nfsv4.SET_TO_CLIENT_TIME4)))
	(&nfsv4.Nfstime4{Seconds: at.Unix(), Nseconds: uint32(at.Nanosecond())}).WriteTo(&w.values)
}

func (w *wished) fattr() nfsv4.Fattr4 {
	return nfsv4.Fattr4{Attrmask: bitmap(w.mask...), AttrVals: w.values.Bytes()}
}

func mode(value uint32) nfsv4.Fattr4 {
	var wanted wished
	wanted.number32(nfsv4.FATTR4_MODE, value&0o7777)
	return wanted.fattr()
}
