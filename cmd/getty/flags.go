// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
)

// parse fills fs from args. A request for help is answered on standard output.
func parse(fs *flag.FlagSet, std stdio, c command, args []string) error {
	fs.SetOutput(io.Discard) // report prints errors
	fs.Usage = func() {}
	err := fs.Parse(args)
	if errors.Is(err, flag.ErrHelp) {
		printFlags(std.out, fs, c)
		return errHelp
	}
	if err != nil {
		return usageError(err.Error())
	}
	return nil
}

// printFlags is flag's PrintDefaults with the two dashes that scripts write.
func printFlags(w io.Writer, fs *flag.FlagSet, c command) {
	_, _ = fmt.Fprintf(w, "usage: getty %s\n\n%s\n\n", c.usage(), c.help)
	fs.VisitAll(func(f *flag.Flag) {
		arg, text := flag.UnquoteUsage(f)
		if arg != "" {
			arg = " " + arg
		}
		_, _ = fmt.Fprintf(w, "  --%s%s\n      %s", f.Name, arg, text)
		if f.DefValue != "" && f.DefValue != "false" {
			_, _ = fmt.Fprintf(w, " (default %s)", f.DefValue)
		}
		_, _ = fmt.Fprintln(w)
	})
}
