// Asks a ratelimitd from Go, by the published proto. net/http servers call `check` in a middleware.
//
//	go install tool && go generate && go run . 127.0.0.1:8081
//
// That needs protoc, and what `go install` puts into $(go env GOPATH)/bin, on the PATH.
package main

//go:generate protoc -I ../../proto --go_out=. --go-grpc_out=. ratelimitd/v1/ratelimit.proto --go_opt=module=ratelimitd.example --go-grpc_opt=module=ratelimitd.example --go_opt=Mratelimitd/v1/ratelimit.proto=ratelimitd.example/v1 --go-grpc_opt=Mratelimitd/v1/ratelimit.proto=ratelimitd.example/v1

import (
	"context"
	"fmt"
	"log"
	"os"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"

	pb "ratelimitd.example/v1"
)

// check is the verdict on one request. An error is that there is none: a denial is an answer, a failure is not.
func check(client pb.RateLimitServiceClient, request *pb.CheckRequest, deadline time.Duration) (*pb.CheckResponse, error) {
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	defer cancel()
	return client.Check(ctx, request)
}

func main() {
	address := "127.0.0.1:8081"
	if len(os.Args) > 1 {
		address = os.Args[1]
	}
	retry := backoff.DefaultConfig
	retry.MaxDelay = time.Second
	channel, err := grpc.NewClient(
		address,
		grpc.WithTransportCredentials(insecure.NewCredentials()), // credentials.NewTLS(...) for --listen-tls
		grpc.WithNoProxy(), // a limiter next door is not asked through a web proxy
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: retry, MinConnectTimeout: time.Second}),
	)
	if err != nil {
		log.Fatal(err)
	}
	defer channel.Close()
	client := pb.NewRateLimitServiceClient(channel)
	for range 3 {
		verdict, err := check(client, &pb.CheckRequest{
			Method:        "POST",
			Path:          "/login",
			SourceAddress: "203.0.113.7", // the peer; X-Forwarded-For goes along in the headers
			Host:          "shop.example",
			Headers:       []*pb.Header{{Name: "user-agent", Value: []byte("example")}},
		}, 2*time.Second) // the first call connects; later ones do with 250 ms
		if err != nil {
			log.Fatal(err) // here the caller's own rule for failures decides; InvalidArgument denies
		}
		// Only DECISION_ALLOW allows. Headers belong on the response either way (RateLimit, Retry-After).
		said := "deny"
		if verdict.GetDecision() == pb.Decision_DECISION_ALLOW {
			said = "allow"
		}
		headers := map[string]string{}
		for _, header := range verdict.GetHeaders() {
			headers[header.GetName()] = string(header.GetValue())
		}
		fmt.Println(said, verdict.GetStatus(), headers["ratelimit"], headers["retry-after"])
	}
}
