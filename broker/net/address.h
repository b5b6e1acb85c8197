/* Network addresses as values: 16 bytes and a kind, IPv4 in IPv6 clothes taken off. */
#pragma once

#include "broker/base/bytes.h"

#include <sys/socket.h>

enum slu_ip_kind { SLU_IP_NONE, SLU_IP_V4, SLU_IP_V6 }; /* NONE: a unix socket, or not known */

struct slu_ip {
    uint8_t kind;
    uint8_t bytes[16]; /* V4: the first four; the rest is zero */
};

enum { SLU_IP_TEXT = 48 };

struct slu_ip slu_ip_of(const struct sockaddr *sa);
/* Text without port; "unix" for NONE. */
const char *slu_ip_text(const struct slu_ip *ip, char out[SLU_IP_TEXT]);
/* "192.0.2.1", "2001:db8::1"; brackets and a port are taken too. False and *ip NONE when it is no address. */
bool slu_ip_parse(struct slu_bytes text, struct slu_ip *ip);
void slu_ip_sockaddr(const struct slu_ip *ip, struct sockaddr_storage *out);
/* True for the name of this very machine in a Host or Origin: localhost, *.localhost, 127.*, [::1]. Without port. */
bool slu_host_is_loopback(struct slu_bytes host);
/* Cuts ":PORT" off; keeps the brackets of an IPv6 address. */
struct slu_bytes slu_host_without_port(struct slu_bytes host);
