package main

import (
	"context"

	"github.com/buildbarn/go-xdr/pkg/protocols/nfsv4"
)

func (s *state) read(ctx context.Context, file *openFile, offset uint64, buffer []byte) (int, error) {
	total := 0
	for total < len(buffer) {
		want := min(len(buffer)-total, maxData)
		answer, err := s.with(ctx, file, func(stateid nfsv4.Stateid4) []op {
			return []op{&nfsv4.NfsArgop4_OP_READ{Opread: nfsv4.Read4args{
				Stateid: stateid, Offset: offset + uint64(total), Count: uint32(want),
			}}}
		})
		if err != nil {
			return total, err
		}
		found := answer[1].(*nfsv4.NfsResop4_OP_READ).Opread.(*nfsv4.Read4res_NFS4_OK).Resok4
		total += copy(buffer[total:], found.Data)
		if found.Eof || len(found.Data) == 0 {
			break
		}
	}
	return total, nil
}

// write hands data to the server, which has it in memory then; *commit* has it put it on its disk.
func (s *state) write(ctx context.Context, file *openFile, offset uint64, data []byte) (int, error) {
	at := file.node
	at.writing.Lock()
	defer at.writing.Unlock()
	if file.appends {
		size, err := s.size(ctx, file)
		if err != nil {
			return 0, err
		}
		offset = size
	}
	total := 0
	for total < len(data) {
		part := data[total:min(total+maxData, len(data))]
		one := chunk{file: file, offset: offset + uint64(total), data: append([]byte(nil), part...)}
		count, err := s.writeChunk(ctx, one)
		total += count
		if err != nil {
			return total, err
		}
	}
	if at.unsaved >= maxDirty {
		return total, s.save(ctx, file)
	}
	return total, nil
}

func (s *state) size(ctx context.Context, file *openFile) (uint64, error) {
	answer, err := s.with(ctx, file, func(nfsv4.Stateid4) []op { return []op{getattr(bitmap(nfsv4.FATTR4_SIZE))} })
	if err != nil {
		return 0, err
	}
	found, err := attrsOf(answer[1])
	return found.number[nfsv4.FATTR4_SIZE], err
}

func (s *state) writeChunk(ctx context.Context, one chunk) (int, error) {
	answer, err := s.with(ctx, one.file, func(stateid nfsv4.Stateid4) []op {
		return []op{writeOp(one, stateid, nfsv4.UNSTABLE4)}
	})
	if err != nil {
		return 0, err
	}
	said := answer[1].(*nfsv4.NfsResop4_OP_WRITE).Opwrite.(*nfsv4.Write4res_NFS4_OK).Resok4
	if said.Committed != nfsv4.FILE_SYNC4 {
		one.data, one.verifier = one.data[:said.Count], said.Writeverf
		s.unsavedStill(one.file.node, []chunk{one})
	}
	return int(said.Count), nil
}

// commit returns when all that was written to a file, by whomever here, is on the server's disk.
func (s *state) commit(ctx context.Context, file *openFile) error {
	file.node.writing.Lock()
	defer file.node.writing.Unlock()
	return s.save(ctx, file)
}

func (s *state) save(ctx context.Context, file *openFile) error {
	at := file.node
	for s.oldest(at) != nil {
		answer, err := s.with(ctx, file, func(nfsv4.Stateid4) []op { return []op{&nfsv4.NfsArgop4_OP_COMMIT{}} })
		if err != nil {
			return err
		}
		verifier := answer[1].(*nfsv4.NfsResop4_OP_COMMIT).Opcommit.(*nfsv4.Commit4res_NFS4_OK).Resok4.Writeverf
		s.mu.Lock()
		wrote := at.dirty
		at.dirty, at.unsaved = nil, 0
		s.mu.Unlock()
		for index, one := range wrote {
			if one.verifier == verifier {
				continue
			}
			// The server is another than the one that had taken it.
			if _, err := s.writeChunk(ctx, one); err != nil {
				s.unsavedStill(at, wrote[index:])
				return err
			}
		}
	}
	return file.trouble()
}

func (s *state) unsavedStill(at *node, chunks []chunk) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, one := range chunks {
		at.dirty, at.unsaved = append(at.dirty, one), at.unsaved+len(one.data)
	}
}
