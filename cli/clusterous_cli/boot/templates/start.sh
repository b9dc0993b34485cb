#!/bin/sh
# Fetches the boot script of this kind of machine and runs it. Everything else is in there.
REGION=@REGION@ BUCKET=@BUCKET@ DOMAIN=@DOMAIN@
. /usr/local/lib/clusterous/s3.sh
cd /usr/local/lib/clusterous || exit 1
fetch @SCRIPT_KEY@ @SCRIPT_SHA256@ /usr/local/lib/clusterous/boot.sh && exec sh boot.sh
echo 'clusterous: the boot script could not be fetched' >/dev/console
exit 1
