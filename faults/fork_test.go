// SPDX-License-Identifier: Apache-2.0

package faults_test

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"
)

// process is a child as its parent sees it.
type process struct {
	t    testing.TB
	cmd  *exec.Cmd
	in   io.WriteCloser
	out  *bufio.Scanner
	owed int // reports that have not been read
	last report

	journal string
}

// fork starts the child of p and returns when it is ready.
func (p *pairing) fork(url string) *process {
	p.Helper()
	cert, _ := certificate()
	key, err := x509.MarshalECPrivateKey(cert.PrivateKey.(*ecdsa.PrivateKey))
	p.must(err)
	args := []string{os.Args[0]}
	if p.ahead > 0 {
		far := strconv.Itoa(int(p.ahead / time.Second))
		args = []string{"unshare", "--time", "--monotonic", far, "--boottime", far, os.Args[0]}
	}
	c := &process{t: p, cmd: exec.Command(args[0], args[1:]...), journal: filepath.Join(p.TempDir(), "journal")}
	c.cmd.Env = append(os.Environ(), childEnv+"="+p.side)
	c.cmd.Stderr = os.Stderr
	c.in, err = c.cmd.StdinPipe()
	p.must(err)
	out, err := c.cmd.StdoutPipe()
	p.must(err)
	c.out = bufio.NewScanner(out)
	c.out.Buffer(nil, 8<<20)
	p.must(c.cmd.Start())
	p.Cleanup(c.kill)
	c.write(spec{
		p.transport, p.fault, p.side, p.moment, p.unit, url,
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Certificate[0]}),
		pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: key}),
		c.journal, uint64(len(p.children)) << 32,
	})
	p.children = append(p.children, c)
	c.hear()
	return c
}

func poolOf(cert tls.Certificate) *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(cert.Leaf)
	return pool
}

func (c *process) write(v any) {
	line, err := json.Marshal(v)
	if err == nil {
		_, err = c.in.Write(append(line, '\n'))
	}
	if err != nil {
		c.t.Fatalf("to the child: %v", err)
	}
	c.owed++
}

// tell gives an order without waiting for the report, do with.
func (c *process) tell(what string, size int) { c.write(order{what, size}) }

func (c *process) do(what string, size int) report {
	c.t.Helper()
	c.tell(what, size)
	for c.owed > 0 {
		c.hear()
	}
	return c.last
}

func (c *process) hear() {
	c.t.Helper()
	c.owed--
	c.last = report{}
	if !c.out.Scan() {
		c.t.Fatalf("the child has ended: %v", c.out.Err())
	}
	if err := json.Unmarshal(c.out.Bytes(), &c.last); err != nil || c.last.Err != "" {
		c.t.Fatalf("from the child: %v %s", err, c.last.Err)
	}
}

func (c *process) signal(s syscall.Signal) { _ = c.cmd.Process.Signal(s) }

// kill ends the process. Calling it again does nothing.
func (c *process) kill() {
	_ = c.cmd.Process.Kill()
	_ = c.cmd.Wait()
}
