for i in $(seq 1 10); do
  for j in 1 2 3; do
   ( /tmp/gt4.test -test.run 'D24ABig/(unix|tcp)' > /tmp/dd.$i.$j 2>&1 & P=$!; for k in $(seq 1 35); do sleep 0.2; kill -0 $P 2>/dev/null || exit 0; done; kill -QUIT $P; echo "HUNG $i.$j" ) &
  done; wait
  ls /tmp/dd.stop 2>/dev/null && break
done
