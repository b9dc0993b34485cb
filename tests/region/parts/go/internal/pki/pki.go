// Package pki makes the certificates of a cluster, or uses the authorities that it finds.
package pki

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

const (
	authorityLife   = 10 * 365 * 24 * time.Hour
	certificateLife = 365 * 24 * time.Hour
	// A node whose clock is a little behind must not find a certificate from the future.
	backdate = time.Hour
)

// Authority signs certificates.
type Authority struct {
	CertPEM []byte
	Cert    *x509.Certificate
	key     crypto.Signer
}

// Subject is whom a certificate is for.
type Subject struct {
	User   string
	Groups []string
	Hosts  []string // names and addresses; a certificate with hosts is a server's
}

// LoadOrMake reads DIR/NAME.crt and NAME.key, or makes them if neither is there.
func LoadOrMake(dir, name string) (*Authority, error) {
	certPath, keyPath := filepath.Join(dir, name+".crt"), filepath.Join(dir, name+".key")
	_, certErr := os.Stat(certPath)
	_, keyErr := os.Stat(keyPath)
	if errors.Is(certErr, os.ErrNotExist) && errors.Is(keyErr, os.ErrNotExist) {
		if err := makeAuthority(name, certPath, keyPath); err != nil {
			return nil, err
		}
	}
	return loadAuthority(certPath, keyPath)
}

func makeAuthority(name, certPath, keyPath string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber:          serial(),
		Subject:               pkix.Name{CommonName: fmt.Sprintf("k3s-%s@%d", name, now.Unix())},
		NotBefore:             now.Add(-backdate),
		NotAfter:              now.Add(authorityLife),
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment | x509.KeyUsageCertSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return err
	}
	if err := writeKey(keyPath, key); err != nil {
		return err
	}
	return os.WriteFile(certPath, encode("CERTIFICATE", der), 0o644)
}

func loadAuthority(certPath, keyPath string) (*Authority, error) {
	certPEM, err := os.ReadFile(certPath)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(certPEM)
	if block == nil {
		return nil, fmt.Errorf("%s holds no certificate", certPath)
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", certPath, err)
	}
	key, err := ReadKey(keyPath)
	if err != nil {
		return nil, err
	}
	if !cert.IsCA {
		return nil, fmt.Errorf("%s is no certificate authority", certPath)
	}
	if public, same := key.Public().(interface{ Equal(crypto.PublicKey) bool }); !same || !public.Equal(cert.PublicKey) {
		return nil, fmt.Errorf("%s and %s do not belong together", certPath, keyPath)
	}
	return &Authority{CertPEM: certPEM, Cert: cert, key: key}, nil
}

// ReadKey reads a private key in any of the PEM forms that tools write.
func ReadKey(path string) (crypto.Signer, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	for block, rest := pem.Decode(content); block != nil; block, rest = pem.Decode(rest) {
		if key, err := parseKey(block); err == nil {
			return key, nil
		}
	}
	return nil, fmt.Errorf("%s holds no private key", path)
}

func parseKey(block *pem.Block) (crypto.Signer, error) {
	switch block.Type {
	case "EC PRIVATE KEY":
		return x509.ParseECPrivateKey(block.Bytes)
	case "RSA PRIVATE KEY":
		return x509.ParsePKCS1PrivateKey(block.Bytes)
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	signer, canSign := key.(crypto.Signer)
	if !canSign {
		return nil, fmt.Errorf("a %T cannot sign", key)
	}
	return signer, nil
}

// Sign makes a certificate for *public*.
func (a *Authority) Sign(public crypto.PublicKey, subject Subject) ([]byte, error) {
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: serial(),
		Subject:      pkix.Name{CommonName: subject.User, Organization: subject.Groups},
		NotBefore:    now.Add(-backdate),
		NotAfter:     earliest(now.Add(certificateLife), a.Cert.NotAfter),
		KeyUsage:     x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	if len(subject.Hosts) > 0 {
		template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
		template.DNSNames, template.IPAddresses = splitHosts(subject.Hosts)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.Cert, public, a.key)
	if err != nil {
		return nil, err
	}
	return append(encode("CERTIFICATE", der), a.CertPEM...), nil
}

// SignRequest makes a certificate for the key in a request; what else the request says is ignored.
func (a *Authority) SignRequest(requestPEM []byte, subject Subject) ([]byte, error) {
	block, _ := pem.Decode(requestPEM)
	if block == nil {
		return nil, errors.New("no certificate request was sent")
	}
	request, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		return nil, err
	}
	if err := request.CheckSignature(); err != nil {
		return nil, err
	}
	return a.Sign(request.PublicKey, subject)
}

// Issue writes BASE.crt and BASE.key, both new: certificates are renewed at every start.
func (a *Authority) Issue(base string, subject Subject) error {
	key, err := EnsureKey(base + ".key")
	if err != nil {
		return err
	}
	cert, err := a.Sign(key.Public(), subject)
	if err != nil {
		return err
	}
	return os.WriteFile(base+".crt", cert, 0o644)
}

// Request is a certificate request for *key*.
func Request(key crypto.Signer) ([]byte, error) {
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		return nil, err
	}
	return encode("CERTIFICATE REQUEST", der), nil
}

// EnsureKey reads the key at *path*, or makes one.
func EnsureKey(path string) (crypto.Signer, error) {
	if key, err := ReadKey(path); err == nil {
		return key, nil
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	return key, writeKey(path, key)
}

// EnsureServiceKey makes the key that signs service account tokens, if it is missing.
func EnsureServiceKey(path string) error {
	if _, err := os.Stat(path); err == nil {
		_, err = ReadKey(path)
		return err
	}
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return err
	}
	return os.WriteFile(path, encode("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(key)), 0o600)
}

func writeKey(path string, key *ecdsa.PrivateKey) error {
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return err
	}
	return os.WriteFile(path, encode("EC PRIVATE KEY", der), 0o600)
}

func encode(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

func splitHosts(hosts []string) (names []string, addresses []net.IP) {
	for _, host := range hosts {
		if ip := net.ParseIP(host); ip != nil {
			addresses = append(addresses, ip)
		} else {
			names = append(names, host)
		}
	}
	return names, addresses
}

func serial() *big.Int {
	number, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		panic(err) // the machine has no randomness: nothing can go on
	}
	return number
}

func earliest(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
