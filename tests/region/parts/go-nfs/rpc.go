package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/buildbarn/go-xdr/pkg/protocols/nfsv4"
	"github.com/buildbarn/go-xdr/pkg/protocols/rpcv2"
	"golang.org/x/sys/unix"
)

const (
	program   = 100003
	version   = 4
	compound  = 1
	last      = 1 << 31 // of a record's fragments
	maxRecord = 4 << 20
	silence   = 10 * time.Second
)

// creds are who asks: what AUTH_SYS tells the server.
type creds struct {
	uid, gid uint32
	gids     []uint32
}

var errLost = errors.New("the connection was lost")

// conn is one TCP connection; when it is lost, all calls on it fail at once.
type conn struct {
	tcp     net.Conn
	writing sync.Mutex
	mu      sync.Mutex
	waiting map[uint32]chan<- *nfsv4.Compound4res
	xid     uint32
	lost    chan struct{}
	// Whether it ever brought an answer: a door that opens is no server yet.
	answered atomic.Bool
}

func dial(ctx context.Context, address string, reserved bool) (*conn, error) {
	// A machine that is gone without a word is noticed after ten seconds, asked or not.
	dialer := net.Dialer{
		Timeout: silence,
		KeepAliveConfig: net.KeepAliveConfig{
			Enable: true, Idle: silence / 2, Interval: silence / 4, Count: 2,
		},
		Control: func(_, _ string, raw syscall.RawConn) error {
			return raw.Control(func(handle uintptr) {
				unix.SetsockoptInt(int(handle), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(silence.Milliseconds()))
			})
		},
	}
	var tcp net.Conn
	var err error
	for port := 1023; port > 600; port-- {
		if reserved {
			dialer.LocalAddr = &net.TCPAddr{Port: port}
		}
		tcp, err = dialer.DialContext(ctx, "tcp4", address)
		if !reserved || !errors.Is(err, unix.EADDRINUSE) && !errors.Is(err, unix.EADDRNOTAVAIL) {
			break
		}
	}
	if err != nil {
		return nil, err
	}
	made := &conn{
		tcp: tcp, waiting: map[uint32]chan<- *nfsv4.Compound4res{}, lost: make(chan struct{}),
		xid: uint32(time.Now().UnixNano()),
	}
	go made.read()
	return made, nil
}

func (c *conn) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	select {
	case <-c.lost:
	default:
		close(c.lost)
		c.tcp.Close()
	}
}

// call sends a compound and waits for its answer; without one in *patience* the connection is given up.
func (c *conn) call(ctx context.Context, who creds, args *nfsv4.Compound4args, patience time.Duration) (*nfsv4.Compound4res, error) {
	answer := make(chan *nfsv4.Compound4res, 1)
	c.mu.Lock()
	c.xid++
	xid := c.xid
	c.waiting[xid] = answer
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		delete(c.waiting, xid)
		c.mu.Unlock()
	}()

	record, err := encode(xid, who, args)
	if err != nil {
		return nil, err
	}
	c.writing.Lock()
	c.tcp.SetWriteDeadline(time.Now().Add(patience))
	_, err = c.tcp.Write(record)
	c.writing.Unlock()
	if err != nil {
		c.close()
		return nil, errLost
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case found := <-answer:
		return found, nil
	case <-timer.C:
		c.close()
		return nil, errLost
	case <-c.lost:
		return nil, errLost
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func encode(xid uint32, who creds, args *nfsv4.Compound4args) ([]byte, error) {
	name, _ := os.Hostname()
	identity := rpcv2.AuthsysParms{Machinename: name, Uid: who.uid, Gid: who.gid, Gids: who.gids}
	var proof bytes.Buffer
	if _, err := identity.WriteTo(&proof); err != nil {
		return nil, err
	}
	message := rpcv2.RpcMsg{Xid: xid, Body: &rpcv2.RpcMsgBody_CALL{Cbody: rpcv2.CallBody{
		Rpcvers: 2, Prog: program, Vers: version, Proc: compound,
		Cred: rpcv2.OpaqueAuth{Flavor: rpcv2.AUTH_SYS, Body: proof.Bytes()},
		Verf: rpcv2.OpaqueAuth{Flavor: rpcv2.AUTH_NONE},
	}}}
	buffer := bytes.NewBuffer(make([]byte, 4, 512+args.GetEncodedSizeBytes()))
	if _, err := message.WriteTo(buffer); err != nil {
		return nil, err
	}
	if _, err := args.WriteTo(buffer); err != nil {
		return nil, err
	}
	record := buffer.Bytes()
	binary.BigEndian.PutUint32(record, last|uint32(len(record)-4))
	return record, nil
}

func (c *conn) read() {
	defer c.close()
	reader := bufio.NewReaderSize(c.tcp, 256<<10)
	for {
		record, err := readRecord(reader)
		if err != nil {
			return
		}
		xid, answer, err := decode(record)
		if err != nil {
			complain("an answer of the server is not understood: %v", err)
			return
		}
		c.answered.Store(true)
		c.mu.Lock()
		if waiting, ok := c.waiting[xid]; ok {
			waiting <- answer
			delete(c.waiting, xid)
		}
		c.mu.Unlock()
	}
}

func readRecord(reader io.Reader) ([]byte, error) {
	var record []byte
	for {
		var head [4]byte
		if _, err := io.ReadFull(reader, head[:]); err != nil {
			return nil, err
		}
		mark := binary.BigEndian.Uint32(head[:])
		length := int(mark &^ last)
		if length+len(record) > maxRecord {
			return nil, fmt.Errorf("a record of %d bytes", length)
		}
		start := len(record)
		record = append(record, make([]byte, length)...)
		if _, err := io.ReadFull(reader, record[start:]); err != nil {
			return nil, err
		}
		if mark&last != 0 {
			return record, nil
		}
	}
}

func decode(record []byte) (uint32, *nfsv4.Compound4res, error) {
	reader := bytes.NewReader(record)
	var message rpcv2.RpcMsg
	if _, err := message.ReadFrom(reader); err != nil {
		return 0, nil, err
	}
	reply, ok := message.Body.(*rpcv2.RpcMsgBody_REPLY)
	if !ok {
		return 0, nil, errors.New("a call, where an answer was expected")
	}
	accepted, ok := reply.Rbody.(*rpcv2.ReplyBody_MSG_ACCEPTED)
	if !ok {
		return 0, nil, errors.New("the call was denied")
	}
	if status := accepted.Areply.ReplyData.GetStat(); status != rpcv2.SUCCESS {
		return 0, nil, fmt.Errorf("the call was not accepted: %v", status)
	}
	var answer nfsv4.Compound4res
	if _, err := answer.ReadFrom(reader); err != nil {
		return 0, nil, err
	}
	return message.Xid, &answer, nil
}
