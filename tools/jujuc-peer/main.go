// The other end of an agent's socket, made of Go's own packages, for contract tests.
//
//	jujuc-peer serve ADDRESS   answers calls as an agent would, until its standard input ends
//	jujuc-peer odd   ADDRESS   the same, with answers of another shape: more fields, of all kinds, in another order
//	jujuc-peer call  ADDRESS   makes calls as hook tools do, and prints their answers, one JSON object a line
//	jujuc-peer calls ADDRESS   makes calls of another shape
package main

import (
	"bufio"
	"bytes"
	"encoding/gob"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/rpc"
	"os"
	"strconv"
	"strings"
	"time"
)

// Request is what hook tools send.
type Request struct {
	ContextId   string
	Dir         string
	CommandName string
	Args        []string
	StdinSet    bool
	Stdin       []byte
	Token       string
}

// ExecResponse is what agents answer.
type ExecResponse struct {
	Code   int
	Stdout []byte
	Stderr []byte
}

// Agent has commands for tests.
type Agent struct {
	released chan struct{}
}

// Main is the one method of agents.
func (a *Agent) Main(request Request, response *ExecResponse) error {
	switch request.CommandName {
	case "echo":
		text, err := json.Marshal(request)
		response.Stdout = text
		return err
	case "refuse":
		response.Code, response.Stderr = 2, []byte("ERROR no\n")
		return nil
	case "odd-code":
		response.Code = -1
		return nil
	case "quiet":
		return nil
	case "cat":
		if !request.StdinSet {
			return errors.New("hook tool requires stdin, none supplied")
		}
		response.Stdout = request.Stdin
		return nil
	case "big":
		size, err := strconv.Atoi(request.Args[0])
		response.Stdout = bytes.Repeat([]byte("x"), size)
		return err
	// Together these two show answers that overtake each other.
	case "wait":
		<-a.released
		response.Stdout = []byte("released")
		return nil
	case "release":
		close(a.released)
		return nil
	}
	return fmt.Errorf("bad request: unknown command: %s", request.CommandName)
}

// Inner is a struct in a struct that holds itself.
type Inner struct {
	Name  string
	Inner *Inner
	Ratio float64
}

// Everything has a field of every kind before, between and after those that are meant.
type Everything struct {
	Flag     bool
	Small    int8
	Large    uint64
	Float    float32
	Complex  complex128
	Text     string
	Bytes    []byte
	Array    [3]uint16
	Arrays   [2][2]string
	Slices   [][]int64
	Map      map[string]map[int]bool
	Inner    Inner
	Inners   []Inner
	Any      any
	Nothing  any
	Time     time.Time
	Pointer  *int
	Pointers map[string]*Inner
}

func everything() Everything {
	number := 7
	inner := Inner{Name: "a", Inner: &Inner{Name: "b", Ratio: -1.5}}
	return Everything{
		Flag: true, Small: -128, Large: 1<<64 - 1, Float: 0.25, Complex: complex(1, -2), Text: "text", Bytes: []byte{0, 255},
		Array: [3]uint16{0, 1, 65535}, Arrays: [2][2]string{{"", "b"}, {"c", ""}}, Slices: [][]int64{nil, {-1, 0, 1 << 40}},
		Map: map[string]map[int]bool{"k": {1: true, 2: false}}, Inner: inner, Inners: []Inner{inner, {}}, Any: inner,
		Time: time.Unix(1, 2).UTC(), Pointer: &number, Pointers: map[string]*Inner{"p": &inner},
	}
}

// OddResponse has the fields of ExecResponse among others.
type OddResponse struct {
	Before Everything
	Stderr []byte
	Flag   bool
	Stdout []byte
	Inner  Inner
	Code   int
	After  Everything
}

// Odd answers in another shape.
type Odd struct{}

// Main repeats its arguments.
func (Odd) Main(request Request, response *OddResponse) error {
	response.Before, response.After, response.Flag = everything(), everything(), true
	response.Inner = Inner{Name: "c"}
	response.Code = len(request.Args)
	response.Stdout = []byte(strings.Join(request.Args, " "))
	response.Stderr = []byte(request.CommandName)
	return nil
}

// OddRequest has the fields of Request among others, and not all of them.
type OddRequest struct {
	Before      Everything
	Args        []string
	CommandName string
	Inner       Inner
	Dir         string
	ContextId   string
	After       Everything
}

func main() {
	gob.Register(Inner{})
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(words []string) error {
	if len(words) != 2 {
		return errors.New("usage: jujuc-peer serve|odd|call|calls ADDRESS")
	}
	switch words[0] {
	case "serve":
		return serve(words[1], &Agent{released: make(chan struct{})})
	case "odd":
		return serve(words[1], Odd{})
	case "call":
		return call(words[1])
	case "calls":
		return callOddly(words[1])
	}
	return fmt.Errorf("unknown verb %q", words[0])
}

func serve(address string, agent any) error {
	server := rpc.NewServer()
	if err := server.RegisterName("Jujuc", agent); err != nil {
		return err
	}
	listener, err := net.Listen("unix", address)
	if err != nil {
		return err
	}
	go server.Accept(listener)
	fmt.Println("ready")
	_, err = io.Copy(io.Discard, bufio.NewReader(os.Stdin))
	return err
}

type answer struct {
	Code   int
	Stdout string
	Stderr string
	Error  string
}

func show(response ExecResponse, err error) error {
	shown := answer{Code: response.Code, Stdout: string(response.Stdout), Stderr: string(response.Stderr)}
	if err != nil {
		shown.Error = err.Error()
	}
	return json.NewEncoder(os.Stdout).Encode(shown)
}

func call(address string) error {
	client, err := rpc.Dial("unix", address)
	if err != nil {
		return err
	}
	defer client.Close()
	main := func(name string, args []string, stdin []byte) error {
		request := Request{ContextId: "peer", Dir: "/", CommandName: name, Args: args, StdinSet: stdin != nil, Stdin: stdin}
		var response ExecResponse
		err := client.Call("Jujuc.Main", request, &response)
		return show(response, err)
	}
	big := strings.Repeat("y", 1<<20)
	for _, err := range []error{
		// An error first: the type of answers is then defined later.
		main("no-such-tool", nil, nil),
		main("echo", []string{"--format=json", "", "é"}, nil),
		main("cat", nil, nil),
		main("cat", nil, []byte{}),
		main("cat", nil, []byte("input")),
		main("cat", nil, []byte(big)),
		main("refuse", nil, nil),
		main("echo", []string{big}, nil),
		main("quiet", nil, nil),
		main("wrong-context", nil, nil),
	} {
		if err != nil {
			return err
		}
	}
	// Made together; the other side answers the last one first.
	pending := make([]*rpc.Call, 5)
	for i := range pending {
		request := Request{ContextId: "peer", Dir: "/", CommandName: "together", Args: []string{strconv.Itoa(i)}}
		pending[i] = client.Go("Jujuc.Main", request, new(ExecResponse), nil)
	}
	for _, one := range pending {
		<-one.Done
		if err := show(*one.Reply.(*ExecResponse), one.Error); err != nil {
			return err
		}
	}
	var response ExecResponse
	return show(response, client.Call("Jujuc.Other", Request{}, &response))
}

func callOddly(address string) error {
	client, err := rpc.Dial("unix", address)
	if err != nil {
		return err
	}
	defer client.Close()
	for _, args := range [][]string{nil, {"a", "b"}} {
		request := OddRequest{
			Before: everything(), After: everything(), Inner: Inner{Name: "c"},
			ContextId: "peer", Dir: "/", CommandName: "echo", Args: args,
		}
		var response ExecResponse
		if err := show(response, client.Call("Jujuc.Main", request, &response)); err != nil {
			return err
		}
	}
	return nil
}
