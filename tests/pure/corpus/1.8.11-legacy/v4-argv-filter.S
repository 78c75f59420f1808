-P INPUT ACCEPT
-P FORWARD ACCEPT
-P OUTPUT ACCEPT
-N 
-N "
-N quo"te
-A INPUT -m comment --comment "two
lines" -j ACCEPT
-A INPUT -m comment --comment "x
-A OUTPUT -d 169.254.169.254/32 -j ACCEPT
COMMIT
# y" -j ACCEPT
-A INPUT -m comment --comment "
" -j ACCEPT
-A INPUT -m comment --comment "crx" -j ACCEPT
-A INPUT -m comment --comment "crlf
" -j ACCEPT
-A INPUT -m comment --comment "tab	here" -j ACCEPT
-A INPUT -m comment --comment "bell nul-less " -j ACCEPT
-A INPUT -m comment --comment "c1 ›31m" -j ACCEPT
-A INPUT -m comment --comment "" -j ACCEPT
-A INPUT -j quo"te
-A INPUT -j "
-A INPUT -j 
-A INPUT -i a b -j ACCEPT
-A INPUT -i a"b -j ACCEPT
-A INPUT -i a'b -j ACCEPT
-A INPUT -i a\b -j ACCEPT
-A INPUT -i a
b -j ACCEPT
-A INPUT -i !x -j ACCEPT
-A INPUT -i -j -j ACCEPT
-A INPUT -i ++ -j ACCEPT
-A INPUT -i a+b -j ACCEPT
-A INPUT -i ÿ -j ACCEPT
-A INPUT -j LOG --log-prefix " "
-A INPUT -j NFLOG --nflog-prefix " "
-A INPUT -j LOG --log-prefix "\""
-A INPUT -j NFLOG --nflog-prefix "\""
-A INPUT -j LOG --log-prefix "ü"
-A INPUT -j NFLOG --nflog-prefix "ü"
-A INPUT -m string --hex-string "|0102|" --algo bm -j DROP
-A INPUT -m string --hex-string "|610a62|" --algo bm -j DROP
-A INPUT -m string --string "a|b" --algo bm -j DROP
-A INPUT -m string --hex-string "|c3bc|" --algo bm -j DROP
-A INPUT -m recent --set --name with blank --mask 255.255.255.255 --rsource
-A INPUT -m hashlimit --hashlimit-upto 1/sec --hashlimit-burst 5 --hashlimit-name with blank -j DROP
-A INPUT -m helper --helper "with blank" -j DROP
-A INPUT -m recent --set --name quo"te --mask 255.255.255.255 --rsource
-A INPUT -m hashlimit --hashlimit-upto 1/sec --hashlimit-burst 5 --hashlimit-name quo"te -j DROP
-A INPUT -m helper --helper "quo\"te" -j DROP
-A INPUT -m recent --set --name a
b --mask 255.255.255.255 --rsource
-A INPUT -m hashlimit --hashlimit-upto 1/sec --hashlimit-burst 5 --hashlimit-name a
b -j DROP
-A INPUT -m helper --helper "a
b" -j DROP
-A INPUT -m helper --helper "a/b" -j DROP
