package query

import (
	"reflect"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
)

// Collector gives the metrics of every show command, from the same snapshots as the tables.
type Collector struct {
	src      Source
	commands []Command
	descs    map[string]*prometheus.Desc // by name of the metric
}

// NewCollector makes a collector; register it with a registry of your own.
func NewCollector(src Source) *Collector {
	c := &Collector{src: src, descs: map[string]*prometheus.Desc{}}
	for _, cmd := range Shows() {
		if len(cmd.Metrics) == 0 {
			continue
		}
		c.commands = append(c.commands, cmd)
		for _, m := range cmd.Metrics {
			c.descs[m.Name] = prometheus.NewDesc(m.Name, m.Help, m.Labels, nil)
		}
	}
	return c
}

// Describe implements [prometheus.Collector].
func (c *Collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range c.descs {
		ch <- d
	}
}

// Collect implements [prometheus.Collector].
func (c *Collector) Collect(ch chan<- prometheus.Metric) {
	for _, cmd := range c.commands {
		rows, err := cmd.Snapshot(c.src, nil)
		if err != nil {
			ch <- prometheus.NewInvalidMetric(c.descs[cmd.Metrics[0].Name], err)
			continue
		}
		for _, m := range cmd.Metrics {
			c.series(ch, m, reflect.ValueOf(rows))
		}
	}
}

// series sums the samples of one metric, so that no two rows make the same series, which a scrape would refuse.
func (c *Collector) series(ch chan<- prometheus.Metric, m Metric, rows reflect.Value) {
	type series struct {
		labels []string
		value  float64
	}
	byLabels := map[string]*series{}
	for i := range rows.Len() {
		m.sample(rows.Index(i).Interface(), func(value float64, labels ...string) {
			key := strings.Join(labels, "\x00")
			if byLabels[key] == nil {
				byLabels[key] = &series{labels: labels}
			}
			byLabels[key].value += value
		})
	}
	for _, s := range byLabels {
		ch <- prometheus.MustNewConstMetric(c.descs[m.Name], m.Type, s.value, s.labels...)
	}
}
