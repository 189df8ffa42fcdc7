// The peer: Coraza v3 in process, with the Core Rule Set at paranoia 1.
//
//	coraza -crs DIR -setup waf.conf -requests FILE [-prefilter] [-seconds 1] [-repeats 3]
//
// FILE is what benchmarks/waf_requests.py writes. Prints {"engine", "requests": {name: {"cpu_us", "blocked"}}}, as
// modsecurity.py does. CPU is that of the whole process, the garbage collector's threads included.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"runtime/debug"
	"sort"
	"syscall"
	"time"

	"github.com/corazawaf/coraza/v3"
	"github.com/corazawaf/coraza/v3/types"
)

type request struct {
	Name    string      `json:"name"`
	Method  string      `json:"method"`
	URI     string      `json:"uri"`
	Headers [][2]string `json:"headers"`
	Body    []byte      `json:"body"` // base64
}

type figure struct {
	CPUMicroseconds float64 `json:"cpu_us"`
	Blocked         bool    `json:"blocked"`
}

func load(crs, setup string, prefilter bool) (coraza.WAF, error) {
	files, err := filepath.Glob(filepath.Join(crs, "rules", "*.conf"))
	if err != nil {
		return nil, err
	}
	sort.Strings(files)
	state := "Off"
	if prefilter {
		state = "On"
	}
	config := coraza.NewWAFConfig().
		WithErrorCallback(func(types.MatchedRule) {}).
		WithDirectives("SecRxPreFilter " + state).
		WithDirectivesFromFile(setup).
		WithDirectivesFromFile(filepath.Join(crs, "crs-setup.conf.example"))
	for _, file := range files {
		config = config.WithDirectivesFromFile(file)
	}
	return coraza.NewWAF(config)
}

// check says whether the request is blocked. A blocked one ends where it is blocked.
func check(waf coraza.WAF, r *request) (bool, error) {
	tx := waf.NewTransaction()
	defer tx.Close()
	defer tx.ProcessLogging()
	tx.ProcessConnection("203.0.113.7", 40000, "127.0.0.1", 80)
	tx.ProcessURI(r.URI, r.Method, "HTTP/1.1")
	for _, header := range r.Headers {
		tx.AddRequestHeader(header[0], header[1])
		if header[0] == "Host" {
			tx.SetServerName(header[1])
		}
	}
	if tx.ProcessRequestHeaders() != nil {
		return true, nil
	}
	if len(r.Body) > 0 {
		if it, _, err := tx.WriteRequestBody(r.Body); err != nil || it != nil {
			return it != nil, err
		}
	}
	it, err := tx.ProcessRequestBody()
	return it != nil, err
}

func cpu() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		log.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// measure returns the CPU microseconds of one request, over that many seconds of them.
func measure(waf coraza.WAF, r *request, seconds float64) (float64, error) {
	count, began := 0, cpu()
	until := time.Now().Add(time.Duration(seconds * float64(time.Second)))
	for time.Now().Before(until) {
		if _, err := check(waf, r); err != nil {
			return 0, err
		}
		count++
	}
	return float64((cpu() - began).Nanoseconds()) / 1e3 / float64(count), nil
}

func version() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, dep := range info.Deps {
			if dep.Path == "github.com/corazawaf/coraza/v3" {
				return dep.Version
			}
		}
	}
	return "v3"
}

func run() error {
	crs := flag.String("crs", "", "the Core Rule Set's folder")
	setup := flag.String("setup", "", "directives that come before it")
	file := flag.String("requests", "", "JSON of the requests")
	prefilter := flag.Bool("prefilter", false, "SecRxPreFilter On")
	seconds := flag.Float64("seconds", 1, "of one turn of one request")
	repeats := flag.Int("repeats", 3, "turns; the median counts")
	flag.Parse()

	content, err := os.ReadFile(*file)
	if err != nil {
		return err
	}
	var requests []request
	if err := json.Unmarshal(content, &requests); err != nil {
		return err
	}
	waf, err := load(*crs, *setup, *prefilter)
	if err != nil {
		return err
	}
	figures := map[string]figure{}
	for i := range requests {
		r := &requests[i]
		blocked, err := check(waf, r)
		if err != nil {
			return fmt.Errorf("%s: %w", r.Name, err)
		}
		var turns []float64
		for range *repeats {
			us, err := measure(waf, r, *seconds)
			if err != nil {
				return fmt.Errorf("%s: %w", r.Name, err)
			}
			turns = append(turns, us)
		}
		sort.Float64s(turns)
		figures[r.Name] = figure{turns[len(turns)/2], blocked}
	}
	name := "Coraza " + version()
	if *prefilter {
		name += ", prefilter"
	}
	return json.NewEncoder(os.Stdout).Encode(map[string]any{"engine": name, "requests": figures})
}

func main() {
	if err := run(); err != nil {
		log.Fatal(err)
	}
}
