// SPDX-License-Identifier: Apache-2.0

// The floor: an echo server on level-triggered epoll, one thread, one read and one write for each event. It takes
// frames apart (4-byte big-endian length, then the body) and answers the complete ones out of the buffer that
// they were read into. It speaks the protocol of bench/internal/control on its standard input and output.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <malloc.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { HEADER = 4, MAX_BODY = 1 << 20, READ = 512 << 10, EVENTS = 1024 };

struct conn {
	int fd;
	char *rest; // an incomplete frame, NULL if there is none
	size_t rest_len;
	char *out; // what the kernel had no room for, NULL if there is none
	size_t out_len, out_off;
};

static char buf[HEADER + MAX_BODY + READ]; // any incomplete frame, and one read behind it
static int ep;

static void die(const char *what) {
	perror(what);
	exit(1);
}

static void watch(struct conn *c, int op, uint32_t events) {
	struct epoll_event ev = {.events = events, .data.ptr = c};
	if (epoll_ctl(ep, op, c->fd, &ev) < 0)
		die("epoll_ctl");
}

static void drop(struct conn *c) {
	close(c->fd);
	free(c->rest);
	free(c->out);
	free(c);
}

static char *keep(const char *data, size_t n) {
	char *p = malloc(n);
	if (p == NULL)
		die("malloc");
	return memcpy(p, data, n);
}

// complete returns the bytes of the complete frames at the start of data, or -1 if a frame is too long.
static ssize_t complete(const char *data, size_t n) {
	size_t used = 0;
	while (n - used >= HEADER) {
		uint32_t len;
		memcpy(&len, data + used, HEADER);
		len = ntohl(len);
		if (len > MAX_BODY)
			return -1;
		if (n - used < HEADER + len)
			break;
		used += HEADER + len;
	}
	return used;
}

// answer writes data; what does not fit is kept, and nothing more is read until it is gone.
static int answer(struct conn *c, const char *data, size_t n) {
	ssize_t w = write(c->fd, data, n);
	if (w < 0 && errno != EAGAIN)
		return -1;
	if (w < 0)
		w = 0;
	if ((size_t)w < n) {
		c->out = keep(data + w, n - w);
		c->out_len = n - w;
		c->out_off = 0;
		watch(c, EPOLL_CTL_MOD, EPOLLOUT);
	}
	return 0;
}

static int on_readable(struct conn *c) {
	size_t have = c->rest_len;
	if (have > 0) {
		memcpy(buf, c->rest, have);
		free(c->rest);
		c->rest = NULL;
		c->rest_len = 0;
	}
	ssize_t n = read(c->fd, buf + have, READ);
	if (n == 0 || (n < 0 && errno != EAGAIN))
		return -1;
	if (n > 0)
		have += n;
	ssize_t used = complete(buf, have);
	if (used < 0)
		return -1;
	if (have > (size_t)used) {
		c->rest_len = have - used;
		c->rest = keep(buf + used, c->rest_len);
	}
	return used > 0 ? answer(c, buf, used) : 0;
}

static int on_writable(struct conn *c) {
	ssize_t w = write(c->fd, c->out + c->out_off, c->out_len - c->out_off);
	if (w < 0)
		return errno == EAGAIN ? 0 : -1;
	c->out_off += w;
	if (c->out_off == c->out_len) {
		free(c->out);
		c->out = NULL;
		watch(c, EPOLL_CTL_MOD, EPOLLIN);
	}
	return 0;
}

static void on_accept(int listener) {
	int fd, one = 1;
	while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
		struct conn *c = calloc(1, sizeof *c);
		if (c == NULL)
			die("calloc");
		c->fd = fd;
		watch(c, EPOLL_CTL_ADD, EPOLLIN);
	}
}

static long status_kb(const char *name) {
	char line[256];
	long kb = 0;
	FILE *f = fopen("/proc/self/status", "r");
	if (f == NULL)
		die("/proc/self/status");
	while (fgets(line, sizeof line, f) != NULL)
		if (strncmp(line, name, strlen(name)) == 0)
			kb = strtol(line + strlen(name) + 1, NULL, 10);
	fclose(f);
	return kb;
}

static void on_command(void) {
	char line[256];
	ssize_t n = read(0, line, sizeof line - 1); // the orchestrator sends a command at a time
	if (n <= 0)
		exit(0);
	line[n] = 0;
	line[strcspn(line, "\n")] = 0;
	if (strcmp(line, "cpu") == 0) {
		struct rusage u;
		getrusage(RUSAGE_SELF, &u);
		printf("{\"values\":{\"user_us\":%ld,\"system_us\":%ld}}\n",
		       u.ru_utime.tv_sec * 1000000L + u.ru_utime.tv_usec,
		       u.ru_stime.tv_sec * 1000000L + u.ru_stime.tv_usec);
	} else if (strcmp(line, "rss") == 0) {
		printf("{\"values\":{\"rss_kb\":%ld}}\n", status_kb("VmRSS"));
	} else if (strcmp(line, "gc") == 0) {
		malloc_trim(0);
		puts("{\"values\":{}}");
	} else if (strcmp(line, "quit") == 0) {
		puts("{\"values\":{}}");
		exit(0);
	} else {
		puts("{\"error\":\"unknown command\"}");
	}
}

static int listen_loopback(void) {
	struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof sa;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0 || bind(fd, (struct sockaddr *)&sa, len) < 0 || listen(fd, 4096) < 0)
		die("listen");
	getsockname(fd, (struct sockaddr *)&sa, &len);
	printf("127.0.0.1:%d\n", ntohs(sa.sin_port));
	return fd;
}

int main(void) {
	setvbuf(stdout, NULL, _IOLBF, 0);
	static struct epoll_event events[EVENTS];
	if ((ep = epoll_create1(EPOLL_CLOEXEC)) < 0)
		die("epoll_create1");
	struct conn control = {.fd = 0}, listener = {.fd = listen_loopback()};
	watch(&control, EPOLL_CTL_ADD, EPOLLIN);
	watch(&listener, EPOLL_CTL_ADD, EPOLLIN);
	for (;;) {
		int n = epoll_wait(ep, events, EVENTS, -1);
		for (int i = 0; i < n; i++) {
			struct conn *c = events[i].data.ptr;
			int failed = 0;
			if (c == &control)
				on_command();
			else if (c == &listener)
				on_accept(listener.fd);
			else if (events[i].events & EPOLLOUT)
				failed = on_writable(c);
			else
				failed = on_readable(c);
			if (failed)
				drop(c);
		}
	}
}
