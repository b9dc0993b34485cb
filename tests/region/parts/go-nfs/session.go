package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/buildbarn/go-xdr/pkg/protocols/nfsv4"
)

const (
	maxSlots = 32
	maxOps   = 12
	// What a request has beside the data that it carries.
	overhead = 4 << 10
	maxData  = 1 << 20

	// As the kernel's client does it (net/sunrpc/xprtsock.c): at once, then after 3 s, then twice
	// as long each time, up to half of the lease.
	firstRedial = 3 * time.Second

	pollFirst = 100 * time.Millisecond
	pollMost  = 2 * time.Second
)

type op = nfsv4.NfsArgop4

// slot is one request at a time of a session; repeated with its number, it is carried out once.
type slot struct {
	id, sequence uint32
}

type session struct {
	id      [16]byte
	slots   chan *slot
	highest uint32
	maxSize int
	ended   chan struct{} // closed when another session has taken its place
}

// client is one NFSv4.1 client of one server: connection, session, and what is open there.
type client struct {
	address  string
	reserved bool
	patience time.Duration
	owner    nfsv4.ClientOwner4
	ctx      context.Context // ends with the mount

	dialing chan struct{} // held by whoever connects
	mu      sync.Mutex
	conn    *conn
	session *session
	failed  atomic.Int32 // attempts since it last answered

	recovering chan struct{} // held by whoever makes a new session
	clientid   uint64
	lease      time.Duration
	state      *state
}

func newClient(ctx context.Context, address string, reserved bool, patience time.Duration, name string) *client {
	made := &client{
		address: address, reserved: reserved, patience: patience, ctx: ctx,
		dialing: make(chan struct{}, 1), recovering: make(chan struct{}, 1), lease: 90 * time.Second,
	}
	made.state = newState(made)
	verifier := time.Now().UnixNano()
	for i := range made.owner.CoVerifier {
		made.owner.CoVerifier[i] = byte(verifier >> (8 * i))
	}
	made.owner.CoOwnerid = []byte(name)
	return made
}

// connected returns a connection that works as far as is known, and waits for one without end.
func (c *client) connected(ctx context.Context) (*conn, error) {
	select {
	case c.dialing <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { <-c.dialing }()
	for {
		c.mu.Lock()
		found := c.conn
		c.conn = nil
		c.mu.Unlock()
		var err error
		if found != nil {
			select {
			case <-found.lost:
				err = errLost
			default:
			}
		}
		if found == nil || found.answered.Load() && err != nil {
			found, err = dial(ctx, c.address, c.reserved)
		}
		if err == nil {
			c.mu.Lock()
			c.conn = found
			c.mu.Unlock()
			return found, nil
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		failed := c.failed.Add(1)
		if failed == 2 {
			complain("server %s not responding, still trying: %v", c.address, err)
		}
		if err := pause(ctx, redial(failed, c.lease)); err != nil {
			return nil, err
		}
	}
}

// heard notes that the server answers.
func (c *client) heard() {
	if c.failed.Swap(0) > 1 {
		complain("server %s OK", c.address)
	}
}

func redial(failed int32, lease time.Duration) time.Duration {
	wait := firstRedial
	for range min(failed, 10) - 1 {
		wait *= 2
	}
	return min(wait, lease/2)
}

func pause(ctx context.Context, wait time.Duration) error {
	select {
	case <-time.After(wait):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// send brings a compound to the server, again over a new connection whenever one is lost.
func (c *client) send(ctx context.Context, who creds, args *nfsv4.Compound4args) (*nfsv4.Compound4res, error) {
	for {
		found, err := c.connected(ctx)
		if err != nil {
			return nil, err
		}
		answer, err := found.call(ctx, who, args, c.patience)
		if errors.Is(err, errLost) {
			continue
		}
		if err == nil {
			c.heard()
		}
		return answer, err
	}
}

// run carries out *build()* with the rights of *who*, until the server has said yes or no.
//
// Without an end where the server is away, as a hard mount promises; *ctx* is the caller's, who may
// be killed meanwhile. Then *undo*, if there is any, gets the answer that nobody waits for.
func (c *client) run(ctx context.Context, who creds, build func() []op, undo func([]nfsv4.NfsResop4)) ([]nfsv4.NfsResop4, error) {
	wait := pollFirst
	for {
		answer, err := c.once(ctx, who, build, undo)
		if err != nil {
			return nil, err
		}
		switch answer.Status {
		case nfsv4.NFS4_OK:
			return answer.Resarray[1:], nil
		case nfsv4.NFS4ERR_DELAY, nfsv4.NFS4ERR_GRACE:
			if err := pause(ctx, wait); err != nil {
				return nil, err
			}
			wait = min(2*wait, pollMost)
		default:
			if len(answer.Resarray) == 0 {
				return nil, nfsError(answer.Status)
			}
			return answer.Resarray[1:], nfsError(answer.Status)
		}
	}
}

// once carries out a compound exactly once, whatever becomes of connections and sessions.
func (c *client) once(ctx context.Context, who creds, build func() []op, undo func([]nfsv4.NfsResop4)) (*nfsv4.Compound4res, error) {
	for {
		current, err := c.live(ctx)
		if err != nil {
			return nil, err
		}
		var free *slot
		select {
		case free = <-current.slots:
		case <-current.ended:
			continue
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		type outcome struct {
			answer *nfsv4.Compound4res
			again  bool
			err    error
		}
		done := make(chan outcome, 1)
		abandoned := make(chan struct{})
		go func() {
			answer, again, err := c.through(current, free, who, build())
			done <- outcome{answer, again, err}
			select {
			case <-abandoned:
				if undo != nil && answer != nil && answer.Status == nfsv4.NFS4_OK {
					undo(answer.Resarray[1:])
				}
			default:
			}
		}()
		select {
		case found := <-done:
			if found.err != nil {
				return nil, found.err
			}
			if !found.again {
				return found.answer, nil
			}
		case <-ctx.Done():
			close(abandoned)
			return nil, ctx.Err()
		}
	}
}

// through sends a compound through a slot of a session and frees the slot; the session may have to
// be made anew for it, and then it is to be sent *again*.
func (c *client) through(current *session, free *slot, who creds, ops []op) (answer *nfsv4.Compound4res, again bool, err error) {
	args := &nfsv4.Compound4args{Minorversion: 1, Argarray: append([]op{&nfsv4.NfsArgop4_OP_SEQUENCE{
		Opsequence: nfsv4.Sequence4args{
			SaSessionid: current.id, SaSequenceid: free.sequence, SaSlotid: free.id,
			SaHighestSlotid: current.highest, SaCachethis: changes(ops),
		}}}, ops...)}
	for {
		answer, err = c.send(c.ctx, who, args)
		if err != nil {
			return nil, false, err
		}
		status := sequenced(answer)
		switch status {
		case nfsv4.NFS4_OK:
			free.sequence++
			current.slots <- free
			return answer, false, nil
		case nfsv4.NFS4ERR_DELAY:
			if err := pause(c.ctx, pollFirst); err != nil {
				return nil, false, err
			}
		case nfsv4.NFS4ERR_RETRY_UNCACHED_REP:
			// It was carried out, and changed nothing: ask anew.
			free.sequence++
			current.slots <- free
			return nil, true, nil
		case nfsv4.NFS4ERR_REQ_TOO_BIG, nfsv4.NFS4ERR_REP_TOO_BIG, nfsv4.NFS4ERR_TOO_MANY_OPS:
			current.slots <- free
			return nil, false, nfsError(status)
		default:
			return nil, true, c.renew(current)
		}
	}
}

// sequenced returns what the server said to the session itself, before any operation.
func sequenced(answer *nfsv4.Compound4res) nfsv4.Nfsstat4 {
	if len(answer.Resarray) > 0 {
		if first, ok := answer.Resarray[0].(*nfsv4.NfsResop4_OP_SEQUENCE); ok {
			return first.Opsequence.GetSrStatus()
		}
	}
	return answer.Status
}

// changes tells whether carrying out *ops* twice would differ from once.
func changes(ops []op) bool {
	for _, one := range ops {
		switch one.(type) {
		case *nfsv4.NfsArgop4_OP_CREATE, *nfsv4.NfsArgop4_OP_LINK, *nfsv4.NfsArgop4_OP_LOCK,
			*nfsv4.NfsArgop4_OP_LOCKU, *nfsv4.NfsArgop4_OP_OPEN, *nfsv4.NfsArgop4_OP_CLOSE,
			*nfsv4.NfsArgop4_OP_REMOVE, *nfsv4.NfsArgop4_OP_RENAME, *nfsv4.NfsArgop4_OP_SETATTR:
			return true
		}
	}
	return false
}

// live returns the session that there is, and makes one if there is none.
func (c *client) live(ctx context.Context) (*session, error) {
	for {
		c.mu.Lock()
		current := c.session
		c.mu.Unlock()
		if current != nil {
			return current, nil
		}
		if err := c.renew(nil); err != nil {
			return nil, err
		}
	}
}

// renew makes a session in the place of *old*, unless somebody has; what was open is so again.
func (c *client) renew(old *session) error {
	select {
	case c.recovering <- struct{}{}:
	case <-c.ctx.Done():
		return c.ctx.Err()
	}
	defer func() { <-c.recovering }()
	c.mu.Lock()
	current := c.session
	c.mu.Unlock()
	if current != old {
		return nil
	}
	for {
		made, err := c.establish()
		if err == nil {
			c.mu.Lock()
			c.session = made
			c.mu.Unlock()
			if old != nil {
				close(old.ended)
			}
			return nil
		}
		if old == nil || c.ctx.Err() != nil {
			return err
		}
		complain("server %s: a new session failed: %v", c.address, err)
		if err := pause(c.ctx, time.Second); err != nil {
			return err
		}
	}
}

// establish says who we are, opens a session and takes back what was open before.
func (c *client) establish() (*session, error) {
	answer, err := c.plain(&nfsv4.NfsArgop4_OP_EXCHANGE_ID{OpexchangeId: nfsv4.ExchangeId4args{
		EiaClientowner:  c.owner,
		EiaFlags:        nfsv4.EXCHGID4_FLAG_USE_NON_PNFS,
		EiaStateProtect: &nfsv4.StateProtect4A_SP4_NONE{},
	}})
	if err != nil {
		return nil, err
	}
	known := answer.(*nfsv4.NfsResop4_OP_EXCHANGE_ID).OpexchangeId.(*nfsv4.ExchangeId4res_NFS4_OK).EirResok4
	channel := nfsv4.ChannelAttrs4{
		CaMaxrequestsize: maxData + overhead, CaMaxresponsesize: maxData + overhead,
		CaMaxresponsesizeCached: overhead, CaMaxoperations: maxOps, CaMaxrequests: maxSlots,
	}
	back := nfsv4.ChannelAttrs4{
		CaMaxrequestsize: overhead, CaMaxresponsesize: overhead,
		CaMaxoperations: 2, CaMaxrequests: 1,
	}
	answer, err = c.plain(&nfsv4.NfsArgop4_OP_CREATE_SESSION{OpcreateSession: nfsv4.CreateSession4args{
		CsaClientid: known.EirClientid, CsaSequence: known.EirSequenceid,
		CsaForeChanAttrs: channel, CsaBackChanAttrs: back, CsaCbProgram: 0x40000000,
		CsaSecParms: []nfsv4.CallbackSecParms4{&nfsv4.CallbackSecParms4_AUTH_NONE{}},
	}})
	if err != nil {
		return nil, err
	}
	opened := answer.(*nfsv4.NfsResop4_OP_CREATE_SESSION).OpcreateSession.(*nfsv4.CreateSession4res_NFS4_OK).CsrResok4
	fore := opened.CsrForeChanAttrs
	made := &session{
		id: opened.CsrSessionid, slots: make(chan *slot, fore.CaMaxrequests), highest: fore.CaMaxrequests - 1,
		maxSize: int(min(fore.CaMaxrequestsize, fore.CaMaxresponsesize)) - overhead, ended: make(chan struct{}),
	}
	for id := range fore.CaMaxrequests {
		made.slots <- &slot{id: id, sequence: 1}
	}
	c.clientid = known.EirClientid
	if known.EirFlags&nfsv4.EXCHGID4_FLAG_CONFIRMED_R != 0 {
		return made, nil // it lost the session and nothing else
	}
	return made, c.state.reclaim(made)
}

// plain carries out the one operation that makes a session, or is for one that is not in use yet.
func (c *client) plain(one op) (nfsv4.NfsResop4, error) {
	answer, err := c.send(c.ctx, creds{}, &nfsv4.Compound4args{Minorversion: 1, Argarray: []op{one}})
	if err != nil {
		return nil, err
	}
	if answer.Status == nfsv4.NFS4ERR_DELAY {
		pause(c.ctx, pollFirst)
	}
	if answer.Status != nfsv4.NFS4_OK {
		return nil, nfsError(answer.Status)
	}
	return answer.Resarray[0], nil
}

// within carries out *ops* in a session that nobody else uses yet.
func (c *client) within(made *session, who creds, ops ...op) ([]nfsv4.NfsResop4, error) {
	for {
		free := <-made.slots
		args := &nfsv4.Compound4args{Minorversion: 1, Argarray: append([]op{&nfsv4.NfsArgop4_OP_SEQUENCE{
			Opsequence: nfsv4.Sequence4args{
				SaSessionid: made.id, SaSequenceid: free.sequence, SaSlotid: free.id, SaHighestSlotid: made.highest,
				SaCachethis: true,
			}}}, ops...)}
		answer, err := c.send(c.ctx, who, args)
		if err != nil {
			return nil, err
		}
		if status := sequenced(answer); status != nfsv4.NFS4_OK {
			return nil, nfsError(status)
		}
		free.sequence++
		made.slots <- free
		switch answer.Status {
		case nfsv4.NFS4_OK:
			return answer.Resarray[1:], nil
		case nfsv4.NFS4ERR_DELAY, nfsv4.NFS4ERR_GRACE:
			if err := pause(c.ctx, pollFirst); err != nil {
				return nil, err
			}
		default:
			return answer.Resarray[1:], nfsError(answer.Status)
		}
	}
}

// keep renews the lease for as long as the mount lasts, and hears so of a server that is new.
func (c *client) keep() {
	for pause(c.ctx, c.lease/3) == nil {
		c.run(c.ctx, creds{}, func() []op { return nil }, nil)
	}
}

// leave ends the session, if the server is there to hear it.
func (c *client) leave() {
	c.mu.Lock()
	current, wire := c.session, c.conn
	c.mu.Unlock()
	if current == nil || wire == nil {
		return
	}
	ctx, stop := context.WithTimeout(context.Background(), 2*time.Second)
	defer stop()
	for _, one := range []op{
		&nfsv4.NfsArgop4_OP_DESTROY_SESSION{OpdestroySession: nfsv4.DestroySession4args{DsaSessionid: current.id}},
		&nfsv4.NfsArgop4_OP_DESTROY_CLIENTID{OpdestroyClientid: nfsv4.DestroyClientid4args{DcaClientid: c.clientid}},
	} {
		wire.call(ctx, creds{}, &nfsv4.Compound4args{Minorversion: 1, Argarray: []op{one}}, time.Second)
	}
}

// nfsError is an error as the server named it.
type nfsError nfsv4.Nfsstat4

func (e nfsError) Error() string {
	if name, ok := nfsv4.Nfsstat4_name[nfsv4.Nfsstat4(e)]; ok {
		return name
	}
	return fmt.Sprintf("NFS error %d", int32(e))
}

var errnos = map[nfsv4.Nfsstat4]syscall.Errno{
	nfsv4.NFS4ERR_NAMETOOLONG:  syscall.ENAMETOOLONG,
	nfsv4.NFS4ERR_NOTEMPTY:     syscall.ENOTEMPTY,
	nfsv4.NFS4ERR_DQUOT:        syscall.EDQUOT,
	nfsv4.NFS4ERR_STALE:        syscall.ESTALE,
	nfsv4.NFS4ERR_BADHANDLE:    syscall.ESTALE,
	nfsv4.NFS4ERR_FHEXPIRED:    syscall.ESTALE,
	nfsv4.NFS4ERR_NOTSUPP:      syscall.EOPNOTSUPP,
	nfsv4.NFS4ERR_ATTRNOTSUPP:  syscall.EOPNOTSUPP,
	nfsv4.NFS4ERR_SYMLINK:      syscall.ELOOP,
	nfsv4.NFS4ERR_WRONG_TYPE:   syscall.ENOTDIR,
	nfsv4.NFS4ERR_LOCKED:       syscall.EAGAIN,
	nfsv4.NFS4ERR_DENIED:       syscall.EAGAIN,
	nfsv4.NFS4ERR_DEADLOCK:     syscall.EDEADLK,
	nfsv4.NFS4ERR_SHARE_DENIED: syscall.EACCES,
	nfsv4.NFS4ERR_FILE_OPEN:    syscall.EBUSY,
	nfsv4.NFS4ERR_OPENMODE:     syscall.EBADF,
	nfsv4.NFS4ERR_BADNAME:      syscall.EINVAL,
	nfsv4.NFS4ERR_BADCHAR:      syscall.EINVAL,
	nfsv4.NFS4ERR_BADOWNER:     syscall.EINVAL,
}

// errno translates an error for programs; the low numbers are the system's own.
func errno(err error) syscall.Errno {
	var refused nfsError
	var known syscall.Errno
	switch {
	case err == nil:
		return 0
	case errors.As(err, &known):
		return known
	case errors.As(err, &refused):
		if found, ok := errnos[nfsv4.Nfsstat4(refused)]; ok {
			return found
		}
		if refused < 40 {
			return syscall.Errno(refused)
		}
		return syscall.EIO
	case errors.Is(err, context.Canceled):
		return syscall.EINTR
	default:
		return syscall.EIO
	}
}
