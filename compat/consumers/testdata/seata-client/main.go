// SPDX-License-Identifier: Apache-2.0

// Command seata-client is a client of seata-go that begins a transaction for each line of its standard input.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/seata/seata-go/pkg/protocol/message"
	"github.com/seata/seata-go/pkg/remoting/config"
	"github.com/seata/seata-go/pkg/remoting/getty"
	"github.com/seata/seata-go/pkg/remoting/processor/client"
	seatalog "github.com/seata/seata-go/pkg/util/log"
)

// begun is the answer to a line.
type begun struct{ XID, Error string }

func main() {
	address := flag.String("address", "", "of the coordinator")
	flag.Parse()
	var cfg config.Config
	flags := flag.NewFlagSet("defaults", flag.PanicOnError)
	cfg.RegisterFlagsWithPrefix("getty", flags) // sets the defaults
	cfg.ReconnectInterval = int(100 * time.Millisecond)

	seatalog.Init()
	client.RegisterProcessor()
	getty.InitRpcClient(&cfg, &config.SeataConfig{
		ApplicationID:        "getty",
		TxServiceGroup:       "group",
		ServiceVgroupMapping: map[string]string{"group": "cluster"},
		ServiceGrouplist:     map[string]string{"cluster": *address},
		LoadBalanceType:      "XID",
	})
	fmt.Println("> runs")
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		text, err := json.Marshal(begin(in.Text()))
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("> %s\n", text)
	}
}

func begin(name string) begun {
	request := message.GlobalBeginRequest{Timeout: time.Minute, TransactionName: name}
	answer, err := getty.GetGettyRemotingClient().SendSyncRequest(request)
	if err != nil {
		return begun{Error: err.Error()}
	}
	response, ok := answer.(message.GlobalBeginResponse)
	if !ok {
		return begun{Error: fmt.Sprintf("a %T", answer)}
	}
	return begun{XID: response.Xid}
}
