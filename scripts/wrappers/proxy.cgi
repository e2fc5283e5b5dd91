#!/bin/sh
# buildstuff's caching mirror front as CGI: http://localhost/proxy.cgi/REPOSITORY/os/ARCH/FILE.
# Usage: a web server calls it for each request; PORTSMITH_CONFIG names another configuration.
exec arch-vm proxy --cgi
