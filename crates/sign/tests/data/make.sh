#!/usr/bin/env bash
# Makes the keys, signatures and certificates here with OpenSSL, so that what this crate reads was
# written by another. The keys are for these tests alone. Validity is from 2025 to 2045, except where
# a name says otherwise.
set -euo pipefail
cd "$(dirname "$0")"
rm -f ./*.pem ./*.sig
from=20250101000000Z to=20450101000000Z

key() { openssl genpkey "${@:2}" -out "$1.key.pem"; openssl pkey -in "$1.key.pem" -pubout -out "$1.pub.pem"; }
key ed25519 -algorithm ed25519
for curve in P-256 P-384 P-521; do
  key "${curve,,}" -algorithm EC -pkeyopt "ec_paramgen_curve:$curve"
done
openssl ecparam -name prime256v1 -genkey -out sec1.key.pem
openssl pkey -in p-256.key.pem -aes128 -passout pass:test -out encrypted.key.pem
key rsa -algorithm RSA -pkeyopt rsa_keygen_bits:2048
key weak-rsa -algorithm RSA -pkeyopt rsa_keygen_bits:1024
key large-rsa -algorithm RSA -pkeyopt rsa_keygen_bits:8192
printf 'a message\n' > message
openssl pkeyutl -sign -rawin -inkey ed25519.key.pem -in message -out ed25519.sig
for hash in 256 384 521; do
  openssl dgst "-sha${hash/521/512}" -sign "p-$hash.key.pem" -out "p-$hash.sig" message
done

# certificate NAME KEY ISSUER "EXTENSIONS" [FROM TO [SUBJECT]]: signed by ISSUER, or by itself
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
certificate() {
  local name=$1 key=$2 issuer=$3 begin=${5:-$from} end=${6:-$to} by
  : > "$work/index"
  cat > "$work/ca.conf" <<CONF
[ca]
default_ca=this
[this]
new_certs_dir=$work
database=$work/index
rand_serial=yes
default_md=sha256
policy=any
x509_extensions=extensions
[any]
organizationName=supplied
commonName=supplied
[extensions]
$(printf '%b' "$4")
CONF
  openssl req -new -key "$key.key.pem" -subj "${7:-/O=retrace test/CN=$name}" -out "$work/request"
  by=(-cert "$issuer.pem" -keyfile "$issuer.key.pem")
  if [ "$name" = "$issuer" ]; then by=(-selfsign -keyfile "$key.key.pem"); fi
  openssl ca -batch -notext -config "$work/ca.conf" "${by[@]}" -startdate "$begin" -enddate "$end" -in "$work/request" -out "$name.pem"
  [ "$key" = "$name" ] || cp "$key.key.pem" "$name.key.pem"
}
ca='basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign\n'
leaf='keyUsage=critical,digitalSignature\nextendedKeyUsage=codeSigning\n'
certificate root rsa root "$ca"
certificate intermediate p-384 root "basicConstraints=critical,CA:TRUE,pathlen:0\nkeyUsage=critical,keyCertSign\n"
certificate signer p-256 intermediate "$leaf"
certificate signer-edwards ed25519 root "$leaf"
certificate other-root ed25519 other-root "$ca"
certificate expired p-256 intermediate "$leaf" 20250101000000Z 20250201000000Z
certificate server p-256 intermediate 'keyUsage=critical,digitalSignature\nextendedKeyUsage=serverAuth\n'
certificate encipherer p-256 intermediate 'keyUsage=critical,keyEncipherment\n'
certificate unsaid p-256 intermediate 'subjectKeyIdentifier=hash\n'
certificate critical p-256 intermediate "${leaf}1.2.3.4=critical,DER:0500\n"
certificate no-authority p-384 root 'basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\n'
certificate by-no-authority p-256 no-authority "$leaf"
certificate second p-384 intermediate "$ca"
certificate too-deep p-256 second "$leaf"
# Signers with other names than their subject's; and one whose names look like another's, of another kind.
certificate named p-256 intermediate "${leaf}subjectAltName=@names\n[names]\nemail=alice@example.org
URI=https://example.org/alice\nDNS=alice.example.org\nIP=192.0.2.1\notherName=1.2.3.4;UTF8:bob@example.org\n"
hint=$(sha256sum p-256.pub.pem)
certificate lookalike p-384 root "${leaf}subjectAltName=@names\n[names]\nURI.0=sha256:${hint%% *}
URI.1=alice@example.org\nDNS.0=alice@example.org\nDNS.1=CN=signer,O=retrace test\nemail.0=https://example.org/alice
email.1=alice.example.org\nURI.2=CN=signer,O=retrace test\n"
certificate comma p-384 root "$leaf" "$from" "$to" "/O=other/CN=signer,O=retrace test"
# Authorities for other uses, for some names, with keys too short and just short enough.
certificate serves p-384 root "${ca}extendedKeyUsage=serverAuth\n"
certificate by-serves p-256 serves "$leaf"
certificate serves-code p-384 root "${ca}extendedKeyUsage=serverAuth,codeSigning\n"
certificate by-serves-code p-256 serves-code "$leaf"
certificate constrained p-384 root "${ca}nameConstraints=permitted;DNS:example.org\n"
certificate by-constrained p-256 constrained "${leaf}subjectAltName=DNS:other.org\n"
certificate weak weak-rsa weak "$ca"
certificate by-weak p-256 weak "$leaf"
certificate large large-rsa large "$ca"
certificate by-large p-256 large "$leaf"
# An authority with the intermediate's name and another key.
cp intermediate.pem kept.pem
certificate intermediate p-521 root "$ca"
mv intermediate.pem impostor.pem
mv kept.pem intermediate.pem
rm -f root.key.pem intermediate.key.pem signer.key.pem signer-edwards.key.pem other-root.key.pem expired.key.pem \
  server.key.pem encipherer.key.pem unsaid.key.pem critical.key.pem no-authority.key.pem by-no-authority.key.pem \
  second.key.pem too-deep.key.pem rsa.pub.pem named.key.pem lookalike.key.pem comma.key.pem serves.key.pem \
  by-serves.key.pem serves-code.key.pem by-serves-code.key.pem constrained.key.pem by-constrained.key.pem weak.key.pem \
  by-weak.key.pem large.key.pem by-large.key.pem weak-rsa.key.pem weak-rsa.pub.pem large-rsa.key.pem large-rsa.pub.pem
