import sys,time,numpy as np,warnings
import pyconvexnn as cx
warnings.simplefilter('ignore')
n,d,P=map(int,sys.argv[1].split(',')); tol=float(sys.argv[2]) if len(sys.argv)>2 else 1e-6
solvers=sys.argv[3].split(',') if len(sys.argv)>3 else ['newton','cd']; loss=sys.argv[4] if len(sys.argv)>4 else 'squared'
ratios=[float(x) for x in sys.argv[5].split(',')] if len(sys.argv)>5 else (.5,.1,.02,.005)
X,y,ps=cx.datasets.ar(n,d,P,loss=loss)
p0=cx.GatedReLUProblem(X,y,ps,1.,loss=loss)
for r in ratios:
    prob=cx.GatedReLUProblem(X,y,ps,r*p0.beta_max,loss=loss)
    out=[]
    for s in solvers:
        ts=[]
        t0=time.time()
        while len(ts)<5 and (time.time()-t0<3 or not ts):
            t=time.process_time(); sol=cx.solve(prob,solver=s,tol=tol); ts.append(time.process_time()-t)
        v=cx.verify(prob,sol)
        out.append(f"{s} {sol.status.name} {1e3*np.median(ts):.1f}ms it {sol.n_iter} A {len(sol.active)} gap {v.relative_gap:.1e} obj {sol.objective:.10g}")
    print(r,' | '.join(out),flush=True)
