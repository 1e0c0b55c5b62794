"""What is run on a device about its certificate: POSIX shell, with openssl(1) and swanctl(8) and nothing else.

A new certificate is put in force by a process that outlives the connection it was asked over, because that connection
may go through the very tunnel: the device goes back to the certificate before by itself unless it is told in time to
keep the new one. One rename of a folder decides between the two, as in `cloison-device`.

The private key is made on the device, in a folder of root's, and is read there by its IKE daemon. No verb prints it.
"""

from __future__ import annotations

READ = r"""
set -u
export LC_ALL=C.UTF-8 PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
top=/etc/swanctl name=$1
show() { echo "@$1"; shift; [ ! -e "$1" ] || head -c 32768 "$1"; echo; }
show certificate "$top/x509/$name.crt"
echo @key
[ ! -e "$top/private/$name.key" ] || timeout 5 openssl pkey -in "$top/private/$name.key" -pubout </dev/null || echo none
echo @mode
[ ! -e "$top/private/$name.key" ] || stat -c '%a %U' "$top/private/$name.key"
echo @loaded
timeout 5 swanctl --list-certs --type x509 --subject "CN=$name" </dev/null | sed -n 's/^ *serial: *//p'
show authority "$top/x509ca/tunnel.crt"
show revocations "$top/x509crl/tunnel.crl"
"""

ACT = r"""
set -eu
umask 077
export LC_ALL=C.UTF-8 PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
self=$1 verb=$2 name=$3; shift 3
top=/etc/swanctl
crt=$top/x509/$name.crt key=$top/private/$name.key next=$top/private/$name.next.key
wait=$top/renewal before=$top/renewal/before.crt
run=/run/cloison/certificate
mkdir -p "$wait" /run/cloison

now() { read -r up _ </proc/uptime; echo "${up%.*}"; }
public() { openssl pkey -in "$1" -pubout 2>/dev/null || echo none; }
certified() { openssl x509 -in "$crt" -noout -pubkey 2>/dev/null || echo nothing; }
busy() { [ -d "$run/open" ]; }
load() {
  timeout -k 2 10 swanctl --load-creds --noprompt >"$run/words" 2>&1 &&
    timeout -k 2 10 swanctl --load-conns >"$run/words" 2>&1
}

settle() { # finish what a power cut left: the certificate in its place decides which key stays
  if busy; then
    if [ "$(now)" -le $(($(cat "$run/open/end") + 15)) ]; then echo 'another certificate is on trial' >&2; exit 75; fi
    back 'its guard has died'
  fi
  if [ -e "$next" ]; then
    if [ "$(public "$next")" = "$(certified)" ]; then mv -f "$next" "$key"; else rm -f "$next"; fi
  fi
  rm -rf "$before" "$run"
}

request() { # fresh|pending: a new key, or the one that waits for its certificate
  settle
  if [ "$1" = fresh ] || [ ! -e "$wait/$name.key" ] || [ ! -e "$wait/$name.csr" ]; then
    rm -f "$wait/$name.csr"
    openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-384 -pkeyopt ec_param_enc:named_curve \
      -out "$wait/$name.key" </dev/null 2>/dev/null
    printf '[req]\ndistinguished_name = subject\nreq_extensions = names\nprompt = no\n[subject]\nCN = %s\n' "$name" \
      >"$wait/request.conf"
    printf '[names]\nsubjectAltName = DNS:%s\n' "$name" >>"$wait/request.conf"
    openssl req -new -sha384 -config "$wait/request.conf" -key "$wait/$name.key" -out "$wait/$name.csr.new" </dev/null
    mv "$wait/$name.csr.new" "$wait/$name.csr"
    rm -f "$wait/request.conf"
    sync "$wait/$name.key" "$wait/$name.csr"
  fi
  cat "$wait/$name.csr"
}

pending() { [ ! -e "$wait/$name.csr" ] || cat "$wait/$name.csr"; }

put_certificate() { # from standard input
  cat >"$crt.new"
  chmod 644 "$crt.new"
  sync "$crt.new"
}

place() { # the first certificate of a device, whose daemon has no connection yet
  settle
  put_certificate
  mv "$wait/$name.key" "$key"
  mv "$crt.new" "$crt"
  rm -f "$wait/$name.csr"
  timeout -k 2 10 swanctl --load-creds --noprompt >/dev/null
}

attempt() { # seconds: put a certificate in force until the deadline, or until it is kept
  settle
  put_certificate
  mkdir -p "$run/open"
  echo $(($(now) + $1)) >"$run/open/end"
  [ ! -e "$crt" ] || cp -p "$crt" "$before"
  mv "$wait/$name.key" "$next"
  rm -f "$wait/$name.csr"
  mv "$crt.new" "$crt"
  setsid sh -c "$self" cloison-certificate "$self" hold "$name" "$1" </dev/null >/dev/null 2>&1 &
}

hold() { # seconds
  end=$(($(now) + $1))
  if load; then
    echo >"$run/open/loaded"
    while busy && [ "$(now)" -lt "$end" ]; do sleep 0.2; done
    back 'nobody kept it in time'
  else
    back "the IKE daemon refuses it: $(tail -n 1 "$run/words" | head -c 200)"
  fi
}

back() { # why
  mv "$run/open" "$run/closed" 2>/dev/null || return 0
  if [ -e "$before" ]; then mv -f "$before" "$crt"; else rm -f "$crt"; fi
  load || :
  rm -f "$next"
  echo "$1" >"$run/why"
}

withdraw() { # by a process of its own: going back may cut the connection that this was asked over
  setsid sh -c "$self" cloison-certificate "$self" back "$name" 'it was told to' </dev/null >/dev/null 2>&1 &
}

keep() {
  if mv "$run/open" "$run/kept" 2>/dev/null; then
    mv -f "$next" "$key"
    rm -f "$before"
    sync "$key" "$crt"
    timeout -k 2 10 swanctl --load-creds --noprompt >/dev/null 2>&1 || :
  fi
  state
}

state() {
  if [ -e "$run/open/loaded" ]; then echo trying
  elif busy; then echo loading
  elif [ -d "$run/kept" ]; then echo kept
  elif [ -e "$run/why" ]; then printf 'back '; cat "$run/why"
  elif [ -d "$run/closed" ]; then echo 'going back'
  else echo none
  fi
}

revocations() { # connections to end: load the list from standard input
  cat >"$top/x509crl/tunnel.crl.new"
  chmod 644 "$top/x509crl/tunnel.crl.new"
  sync "$top/x509crl/tunnel.crl.new"
  mv "$top/x509crl/tunnel.crl.new" "$top/x509crl/tunnel.crl"
  timeout -k 2 10 swanctl --load-creds --noprompt >/dev/null
  # The daemon goes on believing the list before, which it has cached: a revoked peer came up again (measured).
  timeout -k 2 10 swanctl --flush-certs --type x509_crl >/dev/null
  [ $# = 0 ] || setsid sh -c "$self" cloison-certificate "$self" terminate "$name" "$@" </dev/null >/dev/null 2>&1 &
}

terminate() { # connections
  for one; do timeout -k 2 8 swanctl --terminate --ike "$one" --timeout 5 || :; done
}

associations() { timeout -k 2 8 swanctl --list-sas --raw; }

authenticate() { # connection seconds: have the peer shown its certificate again, for as long as it takes
  setsid sh -c "$self" cloison-certificate "$self" ask "$name" "$@" </dev/null >/dev/null 2>&1 &
}

ask() { # connection seconds
  end=$(($(now) + $2)) old=$(identity "$1")
  timeout -k 2 10 swanctl --rekey --ike "$1" --reauth || :
  while [ "$(now)" -lt "$end" ]; do
    sleep 1
    if timeout -k 2 5 swanctl --list-sas --raw --ike "$1" | grep -q state=INSTALLED; then
      [ "$(identity "$1")" = "$old" ] || exit 0
    else
      timeout -k 2 8 swanctl --initiate --child "$1" --timeout 5 || :
    fi
  done
}
identity() { timeout -k 2 5 swanctl --list-sas --raw --ike "$1" | grep -o 'initiator-spi=[0-9a-f]*' || :; }

"$verb" "$@"
"""
"""Its first argument is the script itself, so that it can start its own continuation without being installed."""
