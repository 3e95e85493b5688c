// A client of the merchant API written against the protocol alone, with Go's own TLS, RSA and AES. It checks what Go's
// stack makes of our certificates, handshakes and answers where the public SDK cannot be fetched, and what no SDK looks
// at: types on the wire, resumed sessions, TLS versions, broken envelopes.
package main

import (
	"bytes"
	"crypto/aes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"
)

const (
	create   = "/v1/api/broker/order/create"
	preOrder = "/v1/api/broker/pre-order/create"
	detail   = "/v1/api/broker/order/detail"
	cancel   = "/v1/api/broker/order/cancel"
)

var failed int

func step(name string, err error) {
	if err != nil {
		failed++
		fmt.Printf("FAIL %s: %v\n", name, err)
		return
	}
	fmt.Printf("ok   %s\n", name)
}

func want(held bool, format string, args ...any) error {
	if held {
		return nil
	}
	return fmt.Errorf(format, args...)
}

func must[T any](value T, err error) T {
	if err != nil {
		fmt.Printf("FAIL %v\n", err)
		os.Exit(1)
	}
	return value
}

func digits(count int) string {
	limit := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(count)), nil)
	return fmt.Sprintf("%0*d", count, must(rand.Int(rand.Reader, limit)))
}

type client struct {
	url, broker string
	key         *rsa.PublicKey
	http        *http.Client
	reused      bool
}

func dial(address, broker string, mutate func(*tls.Config)) *client {
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(must(os.ReadFile(os.Getenv("WM_CA"))))
	pair := must(tls.LoadX509KeyPair(os.Getenv("WM_CERT"), os.Getenv("WM_KEY")))
	config := &tls.Config{RootCAs: pool, Certificates: []tls.Certificate{pair}}
	if mutate != nil {
		mutate(config)
	}
	block, _ := pem.Decode(must(os.ReadFile(os.Getenv("WM_PUBLIC_KEY"))))
	key := must(x509.ParsePKIXPublicKey(block.Bytes)).(*rsa.PublicKey)
	made := &client{url: address, broker: broker, key: key}
	config.VerifyConnection = func(state tls.ConnectionState) error {
		made.reused = state.DidResume
		return nil
	}
	made.http = &http.Client{Transport: &http.Transport{TLSClientConfig: config}, Timeout: 20 * time.Second}
	return made
}

// seal encrypts and signs as the protocol says and returns body and headers.
func (c *client) seal(plain []byte) ([]byte, map[string]string) {
	secret := []byte(hex.EncodeToString(must(io.ReadAll(io.LimitReader(rand.Reader, 8)))))
	hashed := sha256.Sum256(secret)
	block := must(aes.NewCipher(hashed[:]))
	count := aes.BlockSize - len(plain)%aes.BlockSize
	padded := append(bytes.Clone(plain), bytes.Repeat([]byte{byte(count)}, count)...)
	for at := 0; at < len(padded); at += aes.BlockSize {
		block.Encrypt(padded[at:at+aes.BlockSize], padded[at:at+aes.BlockSize])
	}
	ts, nonce := strconv.FormatInt(time.Now().UnixMilli(), 10), digits(6)
	sum := sha256.Sum256([]byte(string(plain) + c.broker + ts + nonce))
	return []byte(base64.StdEncoding.EncodeToString(padded)), map[string]string{
		"w-broker": c.broker,
		"w-ts":     ts,
		"w-nonce":  nonce,
		"w-secret": base64.StdEncoding.EncodeToString(must(rsa.EncryptPKCS1v15(rand.Reader, c.key, secret))),
		"w-sign":   hex.EncodeToString(sum[:])[16:48],
	}
}

func (c *client) send(path string, body []byte, headers map[string]string) ([]byte, error) {
	request := must(http.NewRequest(http.MethodPost, c.url+path, bytes.NewReader(body)))
	for name, value := range headers {
		request.Header.Set(name, value)
	}
	answer, err := c.http.Do(request)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("HTTP %d", answer.StatusCode)
	}
	if answer.ProtoMajor != 1 {
		return nil, fmt.Errorf("HTTP/%d was spoken", answer.ProtoMajor)
	}
	return io.ReadAll(answer.Body)
}

type outer struct {
	Code *int            `json:"code"`
	Msg  *string         `json:"msg"`
	Data json.RawMessage `json:"data"`
}

func parse(text []byte) (outer, error) {
	var found outer
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&found); err != nil {
		return found, err
	}
	if found.Code == nil || found.Msg == nil || found.Data == nil {
		return found, fmt.Errorf("a part is missing: %s", text)
	}
	return found, nil
}

// call returns the inner data, or an error that reads `outer CODE: words` or `inner CODE: words`.
func (c *client) call(path, plain string) (map[string]json.RawMessage, error) {
	body, headers := c.seal([]byte(plain))
	text, err := c.send(path, body, headers)
	if err != nil {
		return nil, err
	}
	return unwrap(text)
}

func unwrap(text []byte) (map[string]json.RawMessage, error) {
	found, err := parse(text)
	if err != nil {
		return nil, err
	}
	if *found.Code != 0 {
		if string(found.Data) != "null" && found.Data[0] != '"' {
			return nil, fmt.Errorf("data of a failure is neither null nor a string: %s", text)
		}
		return nil, fmt.Errorf("outer %d: %s", *found.Code, *found.Msg)
	}
	var inside string
	if err := json.Unmarshal(found.Data, &inside); err != nil {
		return nil, fmt.Errorf("data is not a string: %s", text)
	}
	inner, err := parse([]byte(inside))
	if err != nil {
		return nil, err
	}
	if *inner.Code != 0 {
		return nil, fmt.Errorf("inner %d: %s", *inner.Code, *inner.Msg)
	}
	var data map[string]json.RawMessage
	return data, json.Unmarshal(inner.Data, &data)
}

// typed says whether every listed field is there with its type: integers bare, the rest a string, nothing null.
func typed(data map[string]json.RawMessage, strings_, integers string) error {
	for _, name := range strings.Fields(strings_) {
		if len(data[name]) < 2 || data[name][0] != '"' {
			return fmt.Errorf("%s is not a string: %s", name, data[name])
		}
	}
	for _, name := range strings.Fields(integers) {
		if _, err := strconv.ParseInt(string(data[name]), 10, 8); err != nil {
			return fmt.Errorf("%s is not a small integer: %s", name, data[name])
		}
	}
	return nil
}

func text(raw json.RawMessage) string {
	var found string
	_ = json.Unmarshal(raw, &found)
	return found
}

func wantError(err error, words string) error {
	if err == nil {
		return errors.New("no error came")
	}
	return want(strings.Contains(err.Error(), words), "the error is %q, without %q", err, words)
}

// wantNoAnswer says whether the connection failed before any HTTP was spoken.
func wantNoAnswer(err error) error {
	var network *url.Error
	return want(errors.As(err, &network), "not a connection that failed: %v", err)
}

func orders(c *client, run string) {
	body := fmt.Sprintf(`{"source_id":"hand-%s","chain_id":1,"coin_id":1,"fiat_amount":"7.2","symbol":"USDT\/CNY"}`, run)
	made, err := c.call(create, body)
	if err == nil {
		err = typed(made, "source_id fiat_amount symbol order_id exchange_rate amount service_fee url", "chain_id coin_id")
	}
	step("create: every field has its type", err)
	again, err := c.call(create, body)
	if err == nil {
		err = want(text(again["order_id"]) == text(made["order_id"]), "another order")
	}
	step("create again: the same order", err)
	_, err = c.call(create, strings.Replace(body, `"7.2"`, "7.3", 1))
	step("create with another amount, as a number", wantError(err, "inner 409: order.exists_different"))
	lookup := fmt.Sprintf(`{"source_id":"hand-%s"}`, run)
	seen, err := c.call(detail, lookup)
	if err == nil {
		err = typed(seen, "source_id address tag hash fiat_amount symbol exchange_rate amount service_fee order_id url status_desc",
			"chain_id coin_id status")
	}
	step("detail: every field has its type", err)
	nothing, err := c.call(cancel, lookup)
	step("cancel: data is null", errors.Join(err, want(nothing == nil, "%v", nothing)))
	_, err = c.call(cancel, lookup)
	step("cancel again", wantError(err, "inner 409: order.not_cancellable"))
	_, err = c.call(detail, `{"source_id":"never"}`)
	step("detail of nothing", wantError(err, "inner 404: order.not_found"))
	_, err = c.call(detail, `not json`)
	step("not JSON", wantError(err, "inner 400: request.malformed"))
	pre, err := c.call(preOrder, fmt.Sprintf(`{"source_id":"pre-%s","coin":"USDT","fiat_amount":25}`, run))
	step("pre-order", errors.Join(err, typed(pre, "source_id order_id pay_url", "")))
	seen, err = c.call(detail, fmt.Sprintf(`{"source_id":"pre-%s"}`, run))
	if err == nil {
		err = want(string(seen["chain_id"]) == "0" && text(seen["amount"]) == "0" && string(seen["address"]) == `""`, "%v", seen)
	}
	step("detail of a pre-order before the pick", err)
}

func envelopes(c *client, run string) {
	plain := []byte(fmt.Sprintf(`{"source_id":"bad-%s"}`, run))
	answers := map[string][]string{}
	try := func(name string, change func(body []byte, headers map[string]string) []byte) {
		body, headers := c.seal(plain)
		body = change(body, headers)
		answer, err := c.send(detail, body, headers)
		if err != nil {
			answer = []byte(err.Error())
		}
		answers[string(answer)] = append(answers[string(answer)], name)
	}
	for _, header := range []string{"w-broker", "w-ts", "w-nonce", "w-secret", "w-sign"} {
		try("without "+header, func(body []byte, headers map[string]string) []byte { delete(headers, header); return body })
		try("another "+header, func(body []byte, headers map[string]string) []byte {
			_, others := c.seal(append(plain, ' '))
			if headers[header] == others[header] {
				others[header] = others[header][1:] + "0"
			}
			headers[header] = others[header]
			return body
		})
	}
	try("upper-case sign", func(body []byte, headers map[string]string) []byte {
		headers["w-sign"] = "A" + strings.ToUpper(headers["w-sign"])[1:]
		return body
	})
	try("an empty body", func([]byte, map[string]string) []byte { return nil })
	try("a plain body", func([]byte, map[string]string) []byte { return plain })
	try("a shorter body", func(body []byte, _ map[string]string) []byte { return body[:len(body)-4] })
	step("every broken envelope gets one answer", want(len(answers) == 1, "%v", answers))
	for answer := range answers {
		_, err := unwrap([]byte(answer))
		step("and it is the uniform one", wantError(err, "outer 1000: "))
	}
	body, headers := c.seal(plain)
	_, _ = c.send(detail, body, headers)
	answer, err := c.send(detail, body, headers)
	if err == nil {
		_, err = unwrap(answer)
	}
	step("a replay", wantError(err, "outer 1002: "))
	body, headers = c.seal(plain)
	headers["w-test"] = "1"
	answer, err = c.send(detail, body, headers)
	if err == nil {
		_, err = unwrap(answer)
	}
	step("w-test on the mutual TLS port", wantError(err, "outer 1005: "))
	c.broker += "x"
	_, err = c.call(detail, string(plain))
	step("another broker", wantError(err, "outer 1000: "))
}

func handshakes(address, broker string) {
	for name, version := range map[string]uint16{"1.2": tls.VersionTLS12, "1.3": tls.VersionTLS13} {
		made := dial(address, broker, func(config *tls.Config) {
			config.MinVersion, config.MaxVersion = version, version
			config.ClientSessionCache = tls.NewLRUClientSessionCache(4)
		})
		_, err := made.call(detail, `{"source_id":"never"}`)
		step("TLS "+name, wantError(err, "inner 404"))
		made.http.CloseIdleConnections()
		_, err = made.call(detail, `{"source_id":"never"}`)
		step("TLS "+name+": a resumed session is still somebody", errors.Join(wantError(err, "inner 404"), want(made.reused, "not resumed")))
	}
	old := dial(address, broker, func(config *tls.Config) { config.MinVersion, config.MaxVersion = tls.VersionTLS10, tls.VersionTLS11 })
	_, err := old.call(detail, `{}`)
	step("TLS 1.1 is refused", wantNoAnswer(err))
	nobody := dial(address, broker, func(config *tls.Config) { config.Certificates = nil })
	_, err = nobody.call(detail, `{}`)
	step("no certificate is refused", wantNoAnswer(err))
	distrusting := dial(address, broker, func(config *tls.Config) { config.RootCAs = x509.NewCertPool() })
	_, err = distrusting.call(detail, `{}`)
	step("the server's certificate is no public one", wantError(err, "unknown authority"))
	byAddress := dial(strings.Replace(address, "localhost", "127.0.0.1", 1), broker, nil)
	_, err = byAddress.call(detail, `{"source_id":"never"}`)
	step("the server's certificate names 127.0.0.1 too", wantError(err, "inner 404"))
}

func main() {
	address, broker := os.Getenv("WM_URL"), os.Getenv("WM_BROKER")
	run := strconv.FormatInt(time.Now().UnixNano(), 36)
	orders(dial(address, broker, nil), run)
	handshakes(address, broker)
	envelopes(dial(address, broker, nil), run)
	fmt.Printf("%d failed\n", failed)
	if failed > 0 {
		os.Exit(1)
	}
}
