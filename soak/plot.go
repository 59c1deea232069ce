// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"slices"
	"time"
)

const (
	plotWidth, panelHeight = 900, 170
	plotLeft, plotRight    = 70, 20
	panelTop               = 34
	labels                 = 6   // of the time axis
	maxPoints              = 800 // of a curve; of a longer run each stands for the highest of some
)

// panel is one diagram over time. Its curves share a scale.
type panel struct {
	title  string
	log    bool
	curves []curve
}

type curve struct {
	name, colour string
	value        func(s *sample) float64
}

var panels = []panel{
	{"memory, MiB", false, []curve{
		{"resident, clients", "#1f77b4", func(s *sample) float64 { return float64(s.client.Resident) / (1 << 20) }},
		{"resident, server", "#d62728", func(s *sample) float64 { return float64(s.server.Resident) / (1 << 20) }},
		{"heap, clients", "#9ecae1", func(s *sample) float64 { return float64(s.client.Heap) / (1 << 20) }},
		{"heap, server", "#ff9896", func(s *sample) float64 { return float64(s.server.Heap) / (1 << 20) }},
	}},
	{"goroutines", false, []curve{
		{"clients", "#1f77b4", func(s *sample) float64 { return float64(s.client.Goroutines) }},
		{"server", "#d62728", func(s *sample) float64 { return float64(s.server.Goroutines) }},
	}},
	{"round trip, ms", true, []curve{
		{"p50", "#9ecae1", func(s *sample) float64 { return ms(s.p50) }},
		{"p99", "#1f77b4", func(s *sample) float64 { return ms(s.p99) }},
	}},
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// writeSVG draws the samples.
func writeSVG(path string, samples []sample) error {
	if len(samples) < 2 {
		return nil
	}
	var b bytes.Buffer
	width, height := plotWidth+20, len(panels)*(panelHeight+panelTop)+30 // the last label is centred on the end
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12">`+"\n",
		width, height)
	fmt.Fprintf(&b, `<rect width="%d" height="%d" fill="white"/>`+"\n", width, height)
	for i, p := range panels {
		p.draw(&b, samples, i*(panelHeight+panelTop)+panelTop)
	}
	end := samples[len(samples)-1].at
	for i := range labels + 1 {
		at := end * time.Duration(i) / labels
		fmt.Fprintf(&b, `<text x="%.0f" y="%d" text-anchor="middle">%v</text>`+"\n", across(at, end), height-12, at.Round(time.Second))
	}
	b.WriteString("</svg>\n")
	return os.WriteFile(path, b.Bytes(), 0o600)
}

// across is where a moment is on the time axis.
func across(at, end time.Duration) float64 {
	return plotLeft + float64(at)/float64(end)*(plotWidth-plotLeft-plotRight)
}

func (p *panel) draw(b *bytes.Buffer, samples []sample, top int) {
	low, high := p.span(samples)
	y := func(v float64) float64 {
		if p.log {
			v = math.Log10(max(v, low))
			return float64(top) + panelHeight*(1-(v-math.Log10(low))/(math.Log10(high)-math.Log10(low)))
		}
		return float64(top) + panelHeight*(1-(v-low)/(high-low))
	}
	fmt.Fprintf(b, `<rect x="%d" y="%d" width="%d" height="%d" fill="none" stroke="#ccc"/>`+"\n",
		plotLeft, top, plotWidth-plotLeft-plotRight, panelHeight)
	fmt.Fprintf(b, `<text x="%d" y="%d" font-weight="bold">%s</text>`+"\n", plotLeft, top-8, p.title)
	for _, v := range p.marks(low, high) {
		fmt.Fprintf(b, `<path d="M%d %.1fH%d" stroke="#eee"/><text x="%d" y="%.1f" text-anchor="end">%g</text>`+"\n",
			plotLeft, y(v), plotWidth-plotRight, plotLeft-6, y(v)+4, v)
	}
	for i, c := range p.curves {
		fmt.Fprintf(b, `<text x="%d" y="%d" fill="%s">%s</text>`+"\n", plotLeft+200+150*i, top-8, c.colour, c.name)
		fmt.Fprintf(b, `<polyline fill="none" stroke="%s" stroke-width="1.2" points="`, c.colour)
		for part := range slices.Chunk(samples, len(samples)/maxPoints+1) {
			most := 0.0
			for j := range part {
				most = max(most, c.value(&part[j]))
			}
			fmt.Fprintf(b, "%.1f,%.1f ", across(part[0].at, samples[len(samples)-1].at), y(most))
		}
		b.WriteString(`"/>` + "\n")
	}
}

// span is the range of values, in round numbers.
func (p *panel) span(samples []sample) (low, high float64) {
	least := math.Inf(1)
	for i := range samples {
		for _, c := range p.curves {
			v := c.value(&samples[i])
			high = max(high, v)
			if v > 0 {
				least = min(least, v)
			}
		}
	}
	if p.log {
		low = math.Pow(10, math.Floor(math.Log10(min(least, 1))))
		return low, math.Pow(10, math.Ceil(math.Log10(max(high, 10*low))))
	}
	unit := math.Pow(10, math.Floor(math.Log10(max(high, 1))))
	return 0, math.Ceil(max(high, 1)/unit) * unit
}

// marks are the values that have a line.
func (p *panel) marks(low, high float64) (all []float64) {
	if p.log {
		for v := low; v <= high*1.001; v *= 10 {
			all = append(all, v)
		}
		return all
	}
	for i := range 5 {
		all = append(all, high*float64(i)/4)
	}
	return all
}
