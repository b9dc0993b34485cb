    tries=0
    until _began=$(date +%s) && tool kubectl get --raw /readyz >/dev/null 2>&1; do
        tries=$((tries + 1))
        if [ $tries -ge 120 ]; then
            tool kubectl get --raw '/readyz?verbose'
            return 1
        fi
        rest 1 "$_began"
    done
    tell_begun
